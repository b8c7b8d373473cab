//! Making a packet that shows a difference as plain as it can be.

use crate::path::Input;

/// Cuts off and zeroes whatever can go while `differs` still holds.
pub(crate) fn shrink(input: &Input, mut differs: impl FnMut(&Input) -> bool) -> Input {
    let mut best = input.clone();
    loop {
        let plainer = candidates(&best).find(|candidate| differs(candidate));
        match plainer {
            Some(plainer) => best = plainer,
            None => return best,
        }
    }
}

/// Plainer packets, the plainest first.
fn candidates(input: &Input) -> impl Iterator<Item = Input> {
    let whole = (input.segment != 0).then(|| Input { segment: 0, ..input.clone() });
    let length = input.bytes.len();
    let cuts = [length / 2, length * 3 / 4, length * 9 / 10, length.saturating_sub(1)];
    let shorter = cuts.into_iter().filter(move |cut| *cut < length).map(move |cut| {
        let bytes = input.bytes[..cut].to_vec();
        Input { bytes, ..input.clone() }
    });
    // Long runs first: a payload goes at once.
    let zeroed = [256, 64, 16, 4, 1].into_iter().flat_map(move |run| {
        (0..length).step_by(run).filter_map(move |place| {
            let end = length.min(place + run);
            let zeroes = input.bytes[place..end].iter().all(|byte| *byte == 0);
            (!zeroes).then(|| {
                let mut bytes = input.bytes.clone();
                bytes[place..end].fill(0);
                Input { bytes, ..input.clone() }
            })
        })
    });
    whole.into_iter().chain(shorter).chain(zeroed)
}
