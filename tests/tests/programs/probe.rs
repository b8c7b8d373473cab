//! What is asked of the kernel before anything is attached.

use anyhow::Result;
use aya::{TestRun as _, programs::TestRunOptions};
use netctl_common::config::PROBE_ROOM;
use nix::errno::Errno;

use crate::object;

/// Where `cb` is in `struct __sk_buff`.
const CB: usize = 48;

#[test]
fn the_kernel_says_what_it_does_not_know() -> Result<()> {
    let mut ebpf = object::load([192, 0, 2, 1], [0; 16], 1, 1)?;
    let program = object::program(&mut ebpf, PROBE_ROOM)?;
    program.load()?;
    let mut packet = [0; 256];
    packet[12..15].copy_from_slice(&[8, 0, 0x45]);
    let run = |difference: i32, flags: u64| -> Result<u32> {
        let mut context = [0; CB + 20];
        context[CB..CB + 4].copy_from_slice(&difference.to_ne_bytes());
        context[CB + 4..CB + 12].copy_from_slice(&flags.to_ne_bytes());
        let options = TestRunOptions {
            data_in: Some(&packet),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        Ok(program.test_run(options)?.return_value)
    };
    // BPF_F_ADJ_ROOM_FIXED_GSO, and a flag that no kernel has.
    assert_eq!(run(50, 1)?, 0);
    assert_eq!(run(-50, 1)?, 0);
    assert_eq!(run(50, 1 | 1 << 40)?, Errno::EINVAL as u32);
    Ok(())
}
