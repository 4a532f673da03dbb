//! Whether the samples of one side tend to be larger than those of another (Mann, Whitney 1947; Wilcoxon 1945).
//!
//! U counts the pairs of which the first side has the larger sample, ties half. Were all samples drawn alike, every division of them
//! into two sides would be as likely as any other, ties among them or not: for up to [`EXACT`] samples U is held against all of
//! them, by their sums of ranks, and for more against the normal distribution, corrected for ties and for continuity.

use super::binomial::normal_quantile;

/// So many samples of both sides together are held against all ways to divide them.
const EXACT: usize = 64;

/// How probable a U as small as that of these samples, or smaller, is, and one as large or larger, if both sides are alike.
/// None without samples of either side, and for what cannot be put in order.
pub(crate) fn probabilities(own: &[f64], other: &[f64]) -> Option<(f64, f64)> {
    let ordered = own.iter().chain(other).all(|sample| !sample.is_nan());
    if own.is_empty() || other.is_empty() || !ordered {
        return None;
    }
    let mut all: Vec<(f64, bool)> = own.iter().map(|sample| (*sample, true)).collect();
    all.extend(other.iter().map(|sample| (*sample, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the ranks, so that the ranks of ties, which are the mean of theirs, are whole.
    let mut ranks = Vec::with_capacity(all.len());
    let mut ties = 0.0;
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let size = tied.len() as f64;
        ties += size * size * size - size;
        let before = ranks.len();
        let rank = before.saturating_mul(2).saturating_add(tied.len()).saturating_add(1);
        ranks.extend(tied.iter().map(|(_, is_own)| (rank, *is_own)));
    }
    let sum: usize = ranks.iter().filter(|(_, is_own)| *is_own).map(|(rank, _)| *rank).sum();
    if all.len() <= EXACT {
        let ranks: Vec<usize> = ranks.into_iter().map(|(rank, _)| rank).collect();
        let chances = chances(&ranks, own.len());
        let part = |sums: &[f64]| sums.iter().sum::<f64>().min(1.0);
        let (below, above) = chances.split_at(sum.min(chances.len()));
        let at = above.first().copied().unwrap_or(0.0);
        return Some((part(below) + at, part(above)));
    }
    let (n, m) = (own.len() as f64, other.len() as f64);
    let u = sum as f64 / 2.0 - n * (n + 1.0) / 2.0;
    let deviation = deviation(n, m, ties);
    if deviation <= 0.0 {
        return Some((1.0, 1.0));
    }
    let tail = |distance: f64| 0.5 * libm::erfc(distance / deviation / std::f64::consts::SQRT_2);
    let middle = n * m / 2.0;
    Some((tail(middle - u - 0.5), tail(u - middle - 0.5)))
}

/// The standard deviation of U, where `ties` is the sum of t³ - t over the groups of t samples that are equal.
fn deviation(n: f64, m: f64, ties: f64) -> f64 {
    let all = n + m;
    (n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)))).max(0.0).sqrt()
}

/// How probable each sum of so many of these ranks is.
fn chances(ranks: &[usize], taken: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    // By how many were taken, then by their sum: the probability that a draw of all of them comes there.
    let mut sums = vec![vec![0.0_f64; most.saturating_add(1)]; taken.saturating_add(1)];
    if let Some(none) = sums.first_mut().and_then(|sums| sums.first_mut()) {
        *none = 1.0;
    }
    for (drawn, rank) in ranks.iter().enumerate() {
        // One more was looked at: of each way to take `count` of them the rank is the last one or not.
        for count in (1..=taken.min(drawn.saturating_add(1))).rev() {
            let (fewer, more) = sums.split_at_mut(count);
            let (Some(fewer), Some(more)) = (fewer.last(), more.first_mut()) else { continue };
            for (to, from) in more.iter_mut().skip(*rank).zip(fewer) {
                *to += *from;
            }
        }
    }
    let ways = sums.pop().unwrap_or_default();
    let all: f64 = ways.iter().sum();
    ways.into_iter().map(|way| way / all).collect()
}

/// The middle of what `pairwise` makes of each pair, and between what its true value lies, each end missed with probability at most
/// `alpha` (Hodges, Lehmann 1963). None without pairs.
pub(crate) fn shift(
    own: &[f64],
    other: &[f64],
    pairwise: impl Fn(f64, f64) -> f64,
    alpha: f64,
) -> Option<(f64, f64, f64)> {
    let mut all: Vec<f64> = own
        .iter()
        .flat_map(|own| other.iter().map(|other| pairwise(*own, *other)).collect::<Vec<_>>())
        .collect();
    all.sort_by(f64::total_cmp);
    let cut = cut(own.len(), other.len(), alpha);
    let end =
        |index: Option<usize>, beyond: f64| index.and_then(|index| all.get(index)).copied().unwrap_or(beyond);
    let low = end(cut, f64::NEG_INFINITY);
    let high = end(cut.and_then(|cut| all.len().checked_sub(cut.saturating_add(1))), f64::INFINITY);
    median(&all).map(|middle| (middle, low, high))
}

/// How many of the pairs lie beyond an end; none if there are too few for an end.
fn cut(n: usize, m: usize, alpha: f64) -> Option<usize> {
    let all = n.saturating_add(m);
    if all > EXACT {
        let (n, m) = (n as f64, m as f64);
        let cut = n * m / 2.0 - 0.5 - normal_quantile(1.0 - alpha) * deviation(n, m, 0.0);
        return (cut >= 0.0).then_some(cut as usize);
    }
    let ranks: Vec<usize> = (1..=all).collect();
    let least = n.saturating_mul(n.saturating_add(1)) / 2;
    let mut tail = 0.0;
    let chances = chances(&ranks, n);
    // U is as small as this with no more than `alpha`.
    let within = chances.iter().skip(least).take_while(|chance| {
        tail += **chance;
        tail <= alpha
    });
    within.count().checked_sub(1)
}

/// The middle of numbers in order; none of none.
pub(crate) fn median(ordered: &[f64]) -> Option<f64> {
    let middle = ordered.len() / 2;
    let upper = ordered.get(middle).copied()?;
    let even = ordered.len().is_multiple_of(2);
    let lower = if even { ordered.get(middle.checked_sub(1)?).copied()? } else { upper };
    Some(lower + (upper - lower) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::stats::simulation::Coins;
    use proptest::prelude::*;

    /// By all ways to divide the samples.
    fn enumerated(own: &[f64], other: &[f64]) -> (f64, f64) {
        let all: Vec<f64> = own.iter().chain(other).copied().collect();
        let u = |taken: u32| {
            let is_own = |index: usize| taken & (1 << index) != 0;
            let mut u = 0.0;
            for own in (0..all.len()).filter(|index| is_own(*index)) {
                for other in (0..all.len()).filter(|index| !is_own(*index)) {
                    u += f64::from(u8::from(all[own] > all[other]))
                        + 0.5 * f64::from(u8::from(all[own] == all[other]));
                }
            }
            u
        };
        let seen = u((1 << own.len()) - 1);
        let (mut ways, mut below, mut above) = (0.0, 0.0, 0.0);
        for taken in 0_u32..1 << all.len() {
            if taken.count_ones() as usize == own.len() {
                ways += 1.0;
                below += f64::from(u8::from(u(taken) <= seen));
                above += f64::from(u8::from(u(taken) >= seen));
            }
        }
        (below / ways, above / ways)
    }

    proptest! {
        #[test]
        fn the_probabilities_are_those_of_all_ways_to_divide_the_samples(
            own in proptest::collection::vec(0_u8..6, 1..6),
            other in proptest::collection::vec(0_u8..6, 1..6),
        ) {
            let floats = |samples: &[u8]| samples.iter().map(|sample| f64::from(*sample)).collect::<Vec<_>>();
            let (own, other) = (floats(&own), floats(&other));
            let (found, wanted) = (probabilities(&own, &other).unwrap(), enumerated(&own, &other));
            prop_assert!((found.0 - wanted.0).abs() < 1e-12 && (found.1 - wanted.1).abs() < 1e-12, "{:?} {:?}", found, wanted);
        }

        #[test]
        fn nothing_makes_a_probability_beyond_one(
            own in proptest::collection::vec(prop_oneof![Just(0.0), Just(f64::INFINITY), -5.0..5.0_f64], 0..60),
            other in proptest::collection::vec(prop_oneof![Just(0.0), Just(f64::NEG_INFINITY), -5.0..5.0_f64], 0..60),
        ) {
            if let Some((below, above)) = probabilities(&own, &other) {
                prop_assert!((0.0..=1.0 + 1e-9).contains(&below) && (0.0..=1.0 + 1e-9).contains(&above));
                prop_assert!(below + above >= 1.0 - 1e-9);
            } else {
                prop_assert!(own.is_empty() || other.is_empty());
            }
        }
    }

    /// Samples without ties of which U, the first side's, is this.
    fn with(u: usize, n: usize, m: usize) -> (Vec<f64>, Vec<f64>) {
        let other: Vec<f64> = (0..m).map(|index| index as f64).collect();
        let (full, rest) = (u / m, u % m);
        let own = (0..n).map(|index| match index {
            _ if index < full => m as f64 + index as f64,
            _ if index == full => rest as f64 - 0.5,
            _ => -1.0 - index as f64,
        });
        (own.collect(), other)
    }

    #[test]
    fn the_critical_values_are_those_of_the_published_tables() {
        // The largest U of which the one-sided probability is at most α (Mann, Whitney 1947 and later tables).
        for (n, m, at_5_percent, at_1_percent) in
            [(5, 5, 4, 1), (8, 8, 15, 9), (10, 10, 27, 19), (7, 12, 21, 14), (20, 20, 138, 114)]
        {
            for (alpha, critical) in [(0.05, at_5_percent), (0.01, at_1_percent)] {
                let below = |u| {
                    let (own, other) = with(u, n, m);
                    probabilities(&own, &other).unwrap().0
                };
                assert!(below(critical) <= alpha && below(critical + 1) > alpha, "{n} {m} {critical}");
            }
        }
        // The smallest there is: one way of all.
        let (own, other) = with(0, 4, 3);
        assert_eq!(probabilities(&own, &other).unwrap(), (1.0 / 35.0, 1.0));
    }

    #[test]
    fn the_normal_distribution_goes_on_where_counting_ends() {
        let mut coins = Coins::new(59);
        for (n, m) in [(32, 32), (20, 44)] {
            let mut draw = |count: usize, ties: bool| -> Vec<f64> {
                let sample = |coins: &mut Coins| coins.uniform() * 20.0;
                (0..count)
                    .map(|_| if ties { sample(&mut coins).floor() } else { sample(&mut coins) })
                    .collect()
            };
            for ties in [false, true] {
                let (own, other) = (draw(n, ties), draw(m, ties));
                let exact = probabilities(&own, &other).unwrap();
                // Another sample in the middle takes it beyond what is counted.
                let more: Vec<f64> = other.iter().copied().chain([10.25]).collect();
                let normal = probabilities(&own, &more).unwrap();
                assert!(
                    (exact.0 - normal.0).abs() < 0.05 && (exact.1 - normal.1).abs() < 0.05,
                    "{exact:?} {normal:?}"
                );
            }
        }
        assert_eq!(probabilities(&[1.0; 40], &[1.0; 40]), Some((1.0, 1.0)));
        assert_eq!((probabilities(&[], &[1.0]), probabilities(&[f64::NAN], &[1.0])), (None, None));
    }

    #[test]
    fn the_shift_is_the_middle_of_all_differences_with_the_ends_that_the_test_leaves() {
        // As R's wilcox.test(x, y, conf.int = TRUE) has it: the depth of U at 2.5 % for 5 and 5 is 2, so the third of 25.
        let (own, other) = ([11.0, 14.0, 15.0, 19.0, 22.0], [1.0, 3.0, 8.0, 12.0, 13.0]);
        let mut all: Vec<f64> = own.iter().flat_map(|own| other.map(|other| own - other)).collect();
        all.sort_by(f64::total_cmp);
        assert_eq!(shift(&own, &other, |a, b| a - b, 0.025), Some((all[12], all[2], all[22])));
        assert_eq!(
            shift(&[1.0], &[3.0], |a, b| a - b, 0.025),
            Some((-2.0, f64::NEG_INFINITY, f64::INFINITY))
        );
        assert_eq!(shift(&[], &[3.0], |a, b| a - b, 0.025), None);
    }

    #[test]
    fn samples_that_are_alike_are_hardly_ever_told_apart() {
        let mut coins = Coins::new(61);
        for (n, m) in [(20, 20), (40, 50)] {
            let runs = 400;
            let told = (0..runs).filter(|_| {
                let mut draw = |count: usize| (0..count).map(|_| coins.uniform()).collect::<Vec<f64>>();
                let (own, other) = (draw(n), draw(m));
                probabilities(&own, &other).unwrap().0 <= 0.05
            });
            // 5 % and three standard errors.
            assert!(told.count() <= 33, "{n} {m}");
        }
    }
}
