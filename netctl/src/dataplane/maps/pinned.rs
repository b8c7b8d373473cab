//! The pins of the maps, which somebody may remove while the maps are used.

use std::path::Path;

use aya::maps::{MapData, MapInfo};

use crate::dataplane::{Error, layout};

/// Which maps are pinned, by the kernel's numbers for them: for as long as this process has them open, each is the map of
/// its number.
pub(in crate::dataplane) struct PinnedMaps(Vec<(&'static str, u32)>);

impl PinnedMaps {
    /// Those that are pinned in the directory `maps`, which are all.
    pub(in crate::dataplane) fn at(maps: &Path) -> Result<Self, Error> {
        let number = |layout: &&'static layout::Layout| {
            let info = MapInfo::from_pin(maps.join(layout.name));
            let read = |source| Error::Map { what: "read the pinned", map: layout.name, source };
            Ok((layout.name, info.map_err(read)?.id()))
        };
        layout::ALL.iter().map(number).collect::<Result<_, _>>().map(Self)
    }

    /// Pins those again that are not pinned any more, and says how many.
    pub(in crate::dataplane) fn put_back(&self, maps: &Path) -> Result<usize, Error> {
        let mut count = 0;
        for &(map, number) in &self.0 {
            let path = maps.join(map);
            if path.exists() {
                continue;
            }
            let open = |source| Error::Map { what: "open", map, source };
            let data = MapData::from_id(number).map_err(open)?;
            data.pin(&path).map_err(|source| Error::Pin { path, source })?;
            count += 1;
        }
        Ok(count)
    }
}
