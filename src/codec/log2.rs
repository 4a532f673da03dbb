//! Logarithms in quarter octaves, from the bits of a number: the same on every platform.

/// The largest q with 2^(q/4) not above `value`, as far as 16 bits of mantissa tell; `value` 0 counts as 1.
pub(crate) fn ilog(value: u64) -> i32 {
    let value = value.max(1);
    let leading = value.leading_zeros();
    let mantissa = (value.wrapping_shl(leading) >> 47) as u32 & 0xffff;
    quarters(63_i32.wrapping_sub(leading as i32), mantissa)
}

/// The same for a float that is not negative; 0 and what is below the normal numbers are about -4092.
pub(crate) fn flog(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    quarters(exponent.wrapping_sub(1023), (bits >> 36) as u32 & 0xffff)
}

/// 4 times the octave, and which quarter of it the 16 bits below the top bit are in.
const fn quarters(octave: i32, mantissa: u32) -> i32 {
    octave
        .wrapping_mul(4)
        .wrapping_add((mantissa >= 12_396) as i32)
        .wrapping_add((mantissa >= 27_146) as i32)
        .wrapping_add((mantissa >= 44_684) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_are_four_times_the_binary_logarithm(value in 1_u64..1 << 53) {
            let exact = 4.0 * (value as f64).log2();
            prop_assert!((f64::from(ilog(value)) - exact).abs() < 1.001, "{value}: {}", ilog(value));
            prop_assert_eq!(ilog(value), flog(value as f64));
        }
    }

    #[test]
    fn quarter_octaves_begin_at_their_powers() {
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8].map(ilog), [0, 4, 6, 8, 9, 10, 11, 12]);
        assert_eq!((ilog(0), ilog(u64::MAX)), (0, 255));
        assert_eq!((flog(0.0), flog(0.5), flog(0.75), flog(f64::MAX)), (-4092, -4, -2, 4095));
    }
}
