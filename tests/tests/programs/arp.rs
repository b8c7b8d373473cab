use crate::frames::ethernet;

/// An ARP packet, in a broadcast frame if it is a request.
pub(crate) fn arp(
    operation: u16,
    sender: ([u8; 6], [u8; 4]),
    target: ([u8; 6], [u8; 4]),
) -> Vec<u8> {
    let to = if operation == 1 { [0xff; 6] } else { target.0 };
    let format = [0, 1, 8, 0, 6, 4];
    let words = [&format[..], &operation.to_be_bytes(), &sender.0, &sender.1, &target.0, &target.1];
    ethernet(to, sender.0, 0x0806, &words.concat())
}
