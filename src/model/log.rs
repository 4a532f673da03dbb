//! Logarithms, and powers of two, bit for bit as Go's library computes them on x86-64 (the algorithms of FreeBSD's
//! `e_log.c` and `e_exp.c`): quantiles of native histograms are made of them. `libm` rounds about one power of two in nine
//! and one logarithm to base 10 in three otherwise, and splits numbers near the root of one half elsewhere.

const LN2_HI: f64 = 6.931_471_803_691_238e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// The natural logarithm. Of subnormal numbers it is not even close, as there.
pub(crate) fn ln(x: f64) -> f64 {
    const L: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    let (mut fraction, exponent) = split(x);
    let mut k = f64::from(exponent);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        k -= 1.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let [l1, l2, l3, l4, l5, l6, l7] = L;
    let odd = s2 * (l1 + s4 * (l3 + s4 * (l5 + s4 * l7)));
    let even = s4 * (l2 + s4 * (l4 + s4 * l6));
    let r = odd + even;
    let half_square = 0.5 * f * f;
    k * LN2_HI - ((half_square - (s * (half_square + r) + k * LN2_LO)) - f)
}

/// The fraction within [0.5, 1) and the power of two that a positive normal float is made of.
fn split(x: f64) -> (f64, i32) {
    let bits = x.to_bits();
    let fraction = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3fe0_0000_0000_0000);
    let biased = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    (fraction, biased.saturating_sub(0x3fe))
}

/// The logarithm to base 2.
pub(crate) fn log2(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 || x == f64::INFINITY {
        return ln(x);
    }
    let (fraction, exponent) = match x < f64::MIN_POSITIVE {
        // 2^52 makes it normal.
        true => {
            let (fraction, exponent) = split(x * 4_503_599_627_370_496.0);
            (fraction, exponent.saturating_sub(52))
        }
        false => split(x),
    };
    if fraction == 0.5 {
        return f64::from(exponent.saturating_sub(1));
    }
    ln(fraction) * std::f64::consts::LOG2_E + f64::from(exponent)
}

/// The logarithm to base 10.
pub(crate) fn log10(x: f64) -> f64 {
    ln(x) * std::f64::consts::LOG10_E
}

/// 2 to the power of `x`.
pub(crate) fn exp2(x: f64) -> f64 {
    const P: [f64; 5] = [
        1.666_666_666_666_666_6e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    if x.is_nan() {
        return x;
    }
    if x > 1_023.999_999_999_999_9 {
        return f64::INFINITY;
    }
    if x < -1074.0 {
        return 0.0;
    }
    // Within ±1075.
    let k = if x > 0.0 { x + 0.5 } else { x - 0.5 }.trunc();
    let t = x - k;
    let (hi, lo) = (t * LN2_HI, -t * LN2_LO);
    let r = hi - lo;
    let t = r * r;
    let [p1, p2, p3, p4, p5] = P;
    let c = r - t * (p1 + t * (p2 + t * (p3 + t * (p4 + t * p5))));
    let y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi);
    libm::ldexp(y, k as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_exact_both_ways() {
        for exponent in -1074..1024 {
            let power = libm::ldexp(1.0, exponent);
            assert_eq!(log2(power), f64::from(exponent));
            assert_eq!(exp2(f64::from(exponent)), power);
        }
        assert_eq!(exp2(1024.0), f64::INFINITY);
        assert_eq!(exp2(-1075.0), 0.0);
    }

    #[test]
    fn ends_of_the_range_are_those_of_the_functions() {
        for log in [ln, log2, log10] {
            assert_eq!(log(0.0), f64::NEG_INFINITY);
            assert_eq!(log(-0.0), f64::NEG_INFINITY);
            assert_eq!(log(f64::INFINITY), f64::INFINITY);
            assert!(log(-1.0).is_nan() && log(f64::NAN).is_nan() && log(f64::NEG_INFINITY).is_nan());
            assert_eq!(log(1.0), 0.0);
        }
    }

    #[test]
    fn bits_are_go_s_where_other_libraries_round_otherwise() {
        for (ours, x, bits) in [
            (ln as fn(f64) -> f64, 0x3fe6_a09e_45fd_97e7, 0xbfd6_2e43_5aeb_6158),
            (ln, 0x3fe6_a09e_0943_4ed9, 0xbfd6_2e44_06ae_ec39),
            (ln, 0x0000_2e05_5c9a_3f6c, 0xc086_28a0_8c64_f6a8),
            (log2, 0x3fe6_a09e_2f6f_a260, 0xbfe0_0000_7056_f4b2),
            (log2, 0x0000_2e05_5c9a_3f6c, 0xc090_11e7_3337_e924),
            (log10, 0x3ff1_9999_9999_999a, 0x3fa5_316c_0a18_add6),
            (log10, 0x3ff6_a09e_667f_3bcc, 0x3fc3_4413_509f_79fe),
            (exp2, 0x3fd4_b9b0_0000_0000, 0x3ff4_06c4_36ed_aca2),
            (exp2, 0xc08c_1d68_ca00_0000, 0x07b4_06c4_36ed_aca2),
        ] {
            let x = f64::from_bits(x);
            assert_eq!(ours(x).to_bits(), bits, "{x:e}");
        }
    }

    #[test]
    fn values_lie_within_a_place_of_the_library_s() {
        for i in 1..20_000 {
            let x = f64::from(i) * 0.037;
            for (ours, library) in [
                (ln(x), x.ln()),
                (log2(x), x.log2()),
                (log10(x), x.log10()),
                (exp2(x / 10.0), (x / 10.0).exp2()),
                (exp2(-x / 10.0), (-x / 10.0).exp2()),
            ] {
                assert!((ours - library).abs() <= library.abs().max(1.0) * 5e-16, "{x}: {ours} {library}");
            }
        }
    }
}
