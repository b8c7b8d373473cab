//! The internet checksum (RFC 1071), and its change when a part of what it covers changes (RFC 1624).

/// The one's complement sum of `words` in wire order, unfolded. It cannot overflow below 65,536 words.
#[inline(always)]
pub const fn sum_words<const WORDS: usize>(words: [[u8; 2]; WORDS]) -> u32 {
    let mut sum = 0;
    let mut index = 0;
    while index < WORDS {
        sum += u16::from_be_bytes(words[index]) as u32;
        index += 1;
    }
    sum
}

/// The checksum whose unfolded sum is `sum`, in wire order.
#[inline(always)]
pub const fn finish(sum: u32) -> [u8; 2] {
    // Two folds take a sum of any 32 bits into 16.
    let folded = (sum >> 16) + (sum & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    let [_, _, high, low] = (!folded).to_be_bytes();
    [high, low]
}

/// The checksum after one of the words it covers changed from `old` to `new` (RFC 1624, equation 3).
#[inline(always)]
pub const fn replace_word(checksum: [u8; 2], old: u16, new: u16) -> [u8; 2] {
    let before = !u16::from_be_bytes(checksum);
    finish(before as u32 + (!old) as u32 + new as u32)
}

/// The one's complement sum of `words` as they stand in memory, added to `sum`, unfolded.
///
/// The sum is the same in either order of bytes, but for the order of its own (RFC 1071 section 2, B). So does
/// `bpf_csum_diff` sum, whose results can be added to this one.
#[inline(always)]
pub const fn add_native<const WORDS: usize>(sum: u64, words: [u32; WORDS]) -> u64 {
    let mut sum = sum;
    let mut index = 0;
    while index < WORDS {
        sum += words[index] as u64;
        index += 1;
    }
    sum
}

/// The checksum whose unfolded sum by [`add_native`] is `sum`, in wire order.
#[inline(always)]
pub const fn finish_native(sum: u64) -> [u8; 2] {
    // Two folds take a sum of any 64 bits into 32, and two more into 16.
    let folded = (sum >> 32) + (sum & 0xffff_ffff);
    let folded = (folded >> 32) + (folded & 0xffff_ffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    // It is in the processor's order as the words were, and goes back into memory in that.
    #[expect(clippy::cast_possible_truncation, reason = "folded into 16 bits above")]
    let folded = folded as u16;
    (!folded).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 section 4.1 in its plainest form: add, and carry around after every word.
    fn reference(words: &[[u8; 2]]) -> [u8; 2] {
        let mut sum = 0_u16;
        for word in words {
            let (added, carry) = sum.overflowing_add(u16::from(word[0]) * 256 + u16::from(word[1]));
            sum = added + u16::from(carry);
        }
        (sum ^ 0xffff).to_be_bytes()
    }

    proptest! {
        #[test]
        fn equals_the_reference(words: [[u8; 2]; 10]) {
            prop_assert_eq!(finish(sum_words(words)), reference(&words));
        }

        #[test]
        fn native_sums_equal_the_reference(words: [[u8; 4]; 9], begin: u32) {
            let sum = add_native(begin.into(), words.map(u32::from_ne_bytes));
            let mut pairs = Vec::new();
            for [a, b, c, d] in [begin.to_ne_bytes()].into_iter().chain(words) {
                pairs.extend([[a, b], [c, d]]);
            }
            prop_assert_eq!(finish_native(sum), reference(&pairs));
        }

        #[test]
        fn replacing_equals_summing_again(words: [[u8; 2]; 10], place in 0_usize..10, new: [u8; 2]) {
            // A header has at least one word that is not zero; without, the two forms of zero differ.
            prop_assume!(words.iter().enumerate().any(|(index, word)| index != place && *word != [0, 0]));
            let before = finish(sum_words(words));
            let mut changed = words;
            changed[place] = new;
            let replaced = replace_word(before, u16::from_be_bytes(words[place]), u16::from_be_bytes(new));
            prop_assert_eq!(replaced, reference(&changed));
        }
    }

    #[test]
    fn extremes_fold() {
        assert_eq!(finish(0), [0xff, 0xff]);
        assert_eq!(finish(u32::MAX), [0, 0]);
        assert_eq!(finish_native(0), [0xff, 0xff]);
        assert_eq!(finish_native(u64::MAX), [0, 0]);
    }
}
