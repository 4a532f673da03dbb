//! Layouts.

use super::{Cursor, Pairs, Read};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Column {
    Bucket(String),
    Count,
    Sum,
}

/// The columns of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<Column>,
    pub(crate) bounds: Vec<f64>,
}

impl Layout {
    pub(crate) fn read<'a>(
        cursor: &mut Cursor<'a>,
        mut symbol: impl FnMut(&mut Cursor<'a>) -> Read<String>,
    ) -> Read<Self> {
        let mut columns = Vec::new();
        for _ in 0..cursor.varint()? {
            columns.push(match cursor.u8()? {
                0 => Column::Bucket(symbol(cursor)?),
                1 => Column::Count,
                2 => Column::Sum,
                _ => return Err("no kind of column".into()),
            });
        }
        let bounds = columns.iter().filter_map(|column| match column {
            Column::Bucket(text) => Some(text.parse().unwrap_or(f64::NAN)),
            _ => None,
        });
        Ok(Self { bounds: bounds.collect(), columns })
    }

    pub(crate) fn buckets(&self) -> usize {
        self.bounds.len()
    }

    pub(crate) fn has_count(&self) -> bool {
        self.columns.contains(&Column::Count)
    }

    pub(crate) fn has_sum(&self) -> bool {
        self.columns.contains(&Column::Sum)
    }

    /// The labels of a column's series.
    pub(crate) fn series(&self, shared: &[(String, String)], column: usize) -> Pairs {
        let (suffix, bound) = match &self.columns[column] {
            Column::Bucket(bound) => ("_bucket", Some(bound)),
            Column::Count => ("_count", None),
            Column::Sum => ("_sum", None),
        };
        let mut pairs = shared.to_vec();
        for (name, value) in &mut pairs {
            if name == "__name__" {
                value.push_str(suffix);
            }
        }
        pairs.extend(bound.map(|bound| ("le".to_owned(), bound.clone())));
        pairs.sort();
        pairs
    }
}
