use super::*;
use crate::model::LabelsBuilder;
use proptest::prelude::*;

proptest! {
    /// Label sets made from one another share memory, may lack labels, and come in any order.
    #[test]
    fn a_series_is_found_wherever_it_is_looked_for_first(
        sets in proptest::collection::vec((0_usize..5, 0_u8..4, 0_usize..2), 2..40),
    ) {
        let bases = [
            Labels::from_pairs([("__name__", "d"), ("job", "a"), ("zone", "z")]),
            Labels::from_pairs([("__name__", "d"), ("a", "a"), ("job", "a")]),
        ];
        let labels: Vec<Labels> = sets
            .iter()
            .map(|(column, drop, base)| {
                let mut builder = LabelsBuilder::from_labels(&bases[*base]);
                let (name, bound) =
                    [("d_bucket", "1"), ("d_bucket", "2"), ("d_count", ""), ("d_sum", ""), ("d", "")][*column];
                builder.set(METRIC_NAME, name).set(BUCKET_BOUND, bound);
                if *drop < 2 {
                    builder.remove(["job", "zone"][usize::from(*drop)]);
                }
                builder.build()
            })
            .collect();
        let mut index = Index::default();
        let known: Vec<SeriesRef> = labels
            .iter()
            .step_by(2)
            .map(|labels| index.find_or_create(labels, &Limits::default()).unwrap())
            .collect();
        for (before, series) in labels.iter().step_by(2).zip(&known) {
            for wanted in &labels {
                prop_assert_eq!(index.find_after((before, *series), wanted), index.find(wanted), "{}", wanted);
            }
        }
    }
}
