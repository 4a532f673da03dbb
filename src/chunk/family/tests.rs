#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::chunk::Column;
use crate::chunk::law::assert_family_comes_back;
use crate::model::stale_marker;

fn layout(bounds: &[&str], count: bool, sum: bool) -> Layout {
    let mut columns: Vec<Column> = bounds.iter().map(|bound| Column::Bucket(Arc::from(*bound))).collect();
    columns.extend(count.then_some(Column::Count));
    columns.extend(sum.then_some(Column::Sum));
    Layout::new(columns)
}

fn numbered(buckets: usize, count: bool, sum: bool) -> Layout {
    let bounds: Vec<String> = (0..buckets).map(|bound| (bound + 1).to_string()).collect();
    layout(&bounds.iter().map(String::as_str).collect::<Vec<_>>(), count, sum)
}

type Row = Vec<Option<f64>>;

fn table(rows: &[Row], width: usize) -> FamilyBuffer {
    let mut table = FamilyBuffer::default();
    let times: Vec<i64> = (0..rows.len() as i64).map(|row| row * 15_000).collect();
    table.extend_rows(&times, width);
    for (index, row) in rows.iter().enumerate() {
        for (column, value) in row.iter().enumerate() {
            match value {
                Some(value) => table.set(index, column, *value),
                None => table.set_absent(index, column),
            }
        }
    }
    table
}

fn bodies(layout: &Layout, rows: &[Row]) -> Vec<Body> {
    let table = table(rows, layout.width());
    assert_family_comes_back(layout, &table);
    let mut bodies = Vec::new();
    encode_family(layout, &table, &mut bodies);
    bodies
}

/// A histogram that counts what it is given: by scrape, observations by bucket and what they add to the sum.
fn counted(buckets: usize, scrapes: &[Vec<(usize, f64)>], resets: &[usize], has: (bool, bool)) -> Vec<Row> {
    let (mut counts, mut sum) = (vec![0_u64; buckets], 0.0);
    scrapes
        .iter()
        .enumerate()
        .map(|(index, scrape)| {
            if resets.contains(&index) {
                counts.fill(0);
                sum = 0.0;
            }
            for (bucket, value) in scrape {
                counts[bucket % buckets] += 1;
                sum += value;
            }
            let mut total = 0;
            let mut row: Row = counts
                .iter()
                .map(|count| {
                    total += count;
                    Some(total as f64)
                })
                .collect();
            row.extend(has.0.then_some(Some(total as f64)));
            row.extend(has.1.then_some(Some(sum)));
            row
        })
        .collect()
}

fn odd_value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        2 => Just(Some(stale_marker())),
        1 => any::<u64>().prop_map(|bits| Some(f64::from_bits(bits))),
        1 => (0_u64..1000).prop_map(|count| Some(count as f64)),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0, 0.5, -1.0, 9_007_199_254_740_992.0, 1e17]).prop_map(Some),
    ]
}

fn scrapes(most: usize) -> impl Strategy<Value = Vec<Vec<(usize, f64)>>> {
    let value = prop_oneof![4 => (0_u32..5_000_000).prop_map(|ns| f64::from(ns) / 1e6), 1 => -3.0_f64..9.0, 1 => Just(0.0)];
    let busy = vec((0_usize..600, value.clone()), 0..12);
    let very_busy = vec((0_usize..3, value), 100..200);
    vec(prop_oneof![6 => busy, 1 => Just(Vec::new()), 1 => very_busy], 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn histograms_come_back_with_resets_and_odd_values(
        buckets in prop_oneof![8 => 0_usize..20, 1 => 50_usize..70, 1 => Just(512_usize)],
        has: (bool, bool),
        scrapes in scrapes(60),
        resets in vec(0_usize..60, 0..4),
        odd in vec((0_usize..60, 0_usize..25, 1_usize..9, odd_value()), 0..6),
        hidden_reset in 0_usize..120,
    ) {
        let layout = numbered(buckets, has.0, has.1);
        let mut rows = if buckets == 0 {
            vec![vec![Some(1.0); layout.width()]; scrapes.len()]
        } else {
            counted(buckets, &scrapes, &resets, has)
        };
        if let Some(row) = rows.get_mut(hidden_reset) {
            row.reverse();
        }
        for (row, column, length, value) in odd {
            for row in rows.iter_mut().skip(row).take(length) {
                // Past the columns: the whole row.
                if column >= row.len() {
                    row.fill(value);
                } else {
                    row[column] = value;
                }
            }
        }
        bodies(&layout, &rows);
    }

    #[test]
    fn any_rows_come_back(rows in vec(vec(odd_value(), 7), 0..40), has: (bool, bool)) {
        let layout = numbered(5, has.0, has.1);
        let rows: Vec<Row> = rows.into_iter().map(|mut row| { row.truncate(layout.width()); row }).collect();
        bodies(&layout, &rows);
    }

    #[test]
    fn large_counts_come_back(steps in vec(vec(0_u64..1 << 44, 4), 1..30), sum in any::<u64>()) {
        let layout = numbered(4, true, true);
        let mut counts = [0_u64; 4];
        let rows: Vec<Row> = steps
            .iter()
            .map(|step| {
                let mut total = 0;
                let mut row: Row = counts
                    .iter_mut()
                    .zip(step)
                    .map(|(count, step)| { *count += step; total += *count; Some(total as f64) })
                    .collect();
                row.extend([Some(total as f64), Some(f64::from_bits(sum) + total as f64)]);
                row
            })
            .collect();
        bodies(&layout, &rows);
    }

    #[test]
    fn bounds_of_any_order_and_size_come_back(
        bounds in vec(prop_oneof![any::<f64>().prop_map(|bound| bound.to_string()), Just("x".to_owned()), Just("1".to_owned()), Just("1.0".to_owned())], 1..8),
        scrapes in scrapes(30),
    ) {
        let layout = layout(&bounds.iter().map(String::as_str).collect::<Vec<_>>(), true, true);
        bodies(&layout, &counted(layout.bounds().len(), &scrapes, &[], (true, true)));
    }
}

#[test]
fn a_body_ends_where_a_bucket_or_the_sum_falls() {
    let layout = numbered(2, true, true);
    let row = |a: f64, b: f64, sum: f64| vec![Some(a), Some(a + b), Some(a + b), Some(sum)];
    let mut rows = vec![row(0.0, 10.0, 5.0); 20];
    // No series falls, but what was in the second bucket is in the first.
    rows.extend(vec![row(10.0, 0.0, 5.0); 20]);
    rows.extend(vec![row(11.0, 0.0, 4.0); 20]);
    let bodies = bodies(&layout, &rows);
    assert_eq!(bodies.iter().map(|body| body.rows.clone()).collect::<Vec<_>>(), [0..20, 20..40, 40..60]);
    assert!(bodies.iter().all(|body| body.kind == BodyKind::FamilyConstant));
}

#[test]
fn an_idle_histogram_takes_the_first_row_only() {
    let layout = numbered(17, true, true);
    let mut rows = vec![vec![Some(0.0); 19]; 480];
    let bodies_of = bodies(&layout, &rows);
    assert_eq!((bodies_of.len(), bodies_of[0].bytes.len()), (1, 10));
    // Its end takes five bytes more.
    rows.push(vec![Some(stale_marker()); 19]);
    let bodies_of = bodies(&layout, &rows);
    assert_eq!((bodies_of.len(), bodies_of[0].bytes.len()), (1, 15));
}

#[test]
fn columns_that_never_come_cost_a_mask_in_all() {
    let layout = numbered(17, true, true);
    let mut rows = vec![vec![Some(3.0); 19]; 480];
    rows.iter_mut().for_each(|row| row[18] = None);
    assert_eq!(bodies(&layout, &rows)[0].kind, BodyKind::FamilyConstant);
    assert!(bodies(&layout, &rows)[0].bytes.len() < 25);
}

#[test]
fn a_sum_that_often_falls_is_a_column_of_its_own() {
    let layout = numbered(3, true, true);
    let rows: Vec<Row> = (0..100_u32)
        .map(|row| {
            let count = Some(f64::from(row * 3));
            vec![count, count, count, count, Some(100.0 - f64::from(row))]
        })
        .collect();
    let bodies = bodies(&layout, &rows);
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0].kind, BodyKind::Family);
    assert!(bodies[0].bytes.len() < 60, "{} bytes", bodies[0].bytes.len());
}

#[test]
fn a_histogram_that_is_no_counter_is_packed_by_column() {
    let layout = numbered(3, true, true);
    let rows: Vec<Row> = (0..100_u32)
        .map(|row| {
            let count = Some(f64::from(row * 7 % 5));
            vec![count, count, count, count, count]
        })
        .collect();
    let bodies = bodies(&layout, &rows);
    assert_eq!((bodies.len(), bodies[0].kind), (1, BodyKind::RawColumns));
}

#[test]
fn bodies_have_the_bytes_of_the_format() {
    let layout = layout(&["1", "10", "+Inf"], true, true);
    let row = |a: u32, b: u32, c: u32, sum: f64| -> Row {
        let [a, b, c] = [a, a + b, a + b + c].map(|count| Some(f64::from(count)));
        vec![a, b, c, c, Some(sum)]
    };
    let rows = [
        row(3, 0, 1, 21.5),
        row(4, 2, 1, 30.25),
        row(4, 2, 1, 30.25),
        row(9, 40, 1, 250.0),
        row(9, 41, 2, 275.75),
        vec![Some(stale_marker()); 5],
    ];
    let sealed = bodies(&layout, &rows);
    assert_eq!(sealed.len(), 1);
    assert_eq!(sealed[0].kind, BodyKind::Family);
    #[rustfmt::skip]
    let family = [
        // Decimal sum, exceptions, q 3; from row 5 one row, all stale.
        0x39, 1, 5, 1, 4,
        // Buckets 0 and 2 have 3 and 1; all three count, 6, 41 and 1; their means.
        5, 3, 1, 7, 6, 41, 1, 126, 142, 155,
        // The sum from 21.5 to 275.75.
        0, 0, 0, 0, 0, 0x80, 0x35, 0x40, 0, 0, 0, 0, 0, 0x3c, 0x71, 0x40,
        // Rounding -60, gain 0, spread 19, 102 of 256 rows idle.
        196, 0, 19, 102,
        // Coded counts, raw counts, coded sums, raw sums.
        6, 2, 4, 117, 94, 207, 6, 176, 140,
        123, 0,
        27, 3, 45, 11,
        83, 147, 42, 83,
    ];
    assert_eq!(sealed[0].bytes, family);
    let sealed = bodies(&layout, &rows[1..3]);
    assert_eq!(sealed[0].kind, BodyKind::FamilyConstant);
    assert_eq!(sealed[0].bytes, [1, 7, 4, 2, 1, 0, 0, 0, 0, 0, 0x40, 0x3e, 0x40]);
    let sealed = bodies(&layout, &[vec![Some(0.5), None, Some(2.0), Some(2.0), Some(-0.0)]]);
    assert_eq!(sealed[0].kind, BodyKind::RawColumns);
    #[rustfmt::skip]
    let raw = [
        // From row 0 one row lacks column 1.
        1, 0, 1, 1, 2,
        // 0.5 with one decimal, the absent one as 0, 2 and 2; -0 as bits.
        0, 2, 0x13, 10, 0, 2, 3, 0, 0, 2, 3, 4, 0, 2, 3, 4, 6, 8, 0x80, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(sealed[0].bytes, raw);
}
