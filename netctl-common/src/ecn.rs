//! What becomes of congestion marks at the end of a tunnel (RFC 6040).

/// The two bits of ECN within the byte that holds DSCP and ECN: IPv4's second byte, IPv6's traffic class.
const MASK: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

/// The inner byte of DSCP and ECN after the outer one was taken off (RFC 6040 section 4.2, figure 4).
///
/// `None` says that the packet has to be dropped: congestion was marked on a packet whose sender would not see it.
#[inline(always)]
pub const fn combine(inner: u8, outer: u8) -> Option<u8> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => None,
        (NOT_ECT, _) => Some(inner),
        (_, CE) => Some(inner | CE),
        (inner_ecn, ECT_1) if inner_ecn != CE => Some((inner & !MASK) | ECT_1),
        _ => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figure 4 of the RFC, row by row: inner Not-ECT, ECT(0), ECT(1), CE; outer in the same order.
    const ECT_0: u8 = 0b10;
    const ORDER: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];
    const FIGURE_4: [[Option<u8>; 4]; 4] = [
        [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None],
        [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)],
        [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)],
        [Some(CE), Some(CE), Some(CE), Some(CE)],
    ];

    #[test]
    fn is_figure_4_and_keeps_dscp() {
        for (inner, row) in ORDER.iter().zip(FIGURE_4) {
            for (outer, expected) in ORDER.iter().zip(row) {
                for dscp in [0, 46 << 2, 0xfc] {
                    let expected = expected.map(|ecn| dscp | ecn);
                    assert_eq!(combine(dscp | inner, *outer), expected, "{inner:02b} {outer:02b}");
                    assert_eq!(
                        combine(dscp | inner, 0xfc | outer),
                        expected,
                        "{inner:02b} {outer:02b}"
                    );
                }
            }
        }
    }
}
