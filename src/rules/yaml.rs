//! What rule files and the files of their tests have in common: limits, texts, durations, and places for mistakes.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;

use crate::error::{Error, ErrorKind, Result};
use crate::model::number::parse_duration;

/// The longest file, in bytes.
const FILE_BYTES: usize = 4 << 20;
/// How long the texts of a file may be together, in bytes, those included that aliases repeat.
const TEXT_BYTES: usize = 8 << 20;

/// A value of a mapping may be left out, and is empty then.
pub(super) type Texts = Option<BTreeMap<String, Option<String>>>;

/// Reads a file; errors call it `what` if it is too long, and `none` if it is of another kind.
pub(super) fn read<T: DeserializeOwned>(text: &str, what: &str, none: &str) -> Result<T> {
    if text.len() > FILE_BYTES {
        let found = text.len();
        let message = format!("{what} has {found} bytes, {FILE_BYTES} are allowed (file_bytes)");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_total_scalar_bytes: TEXT_BYTES },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        Error::new(ErrorKind::Parse, format!("this is no {none}: {error}")).caused_by(error.to_string())
    })
}

/// The texts of a mapping by their names.
pub(super) fn texts(texts: Texts) -> impl Iterator<Item = (String, String)> {
    texts.unwrap_or_default().into_iter().map(|(name, text)| (name, text.unwrap_or_default()))
}

/// Where a value stands: `line:column: `.
pub(super) fn place<T>(spanned: &Spanned<T>) -> String {
    format!("{}:{}: ", spanned.referenced.line(), spanned.referenced.column())
}

/// A duration in milliseconds, or the mistake in it with its place.
pub(super) fn duration_ms(field: &str, text: &Spanned<String>) -> std::result::Result<i64, String> {
    match parse_duration(&text.value) {
        Ok(nanos) => Ok(nanos / 1_000_000),
        Err(error) => Err(format!("{}{field}: {error}", place(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_repeats_too_much_is_refused() {
        let read = |text: &str| read::<Vec<String>>(text, "the list", "list");
        assert_eq!(read("[&a x, *a]").unwrap(), ["x", "x"]);
        assert_eq!(read(&" ".repeat(FILE_BYTES + 1)).unwrap_err().kind(), ErrorKind::Limit);
        let long = "x".repeat(FILE_BYTES / 2);
        let repeated = |times: usize| format!("[&a {long}{}]", ", *a".repeat(times));
        assert_eq!(read(&repeated(3)).unwrap(), [long.as_str(); 4]);
        let error = read(&repeated(4)).unwrap_err().to_string();
        assert!(error.starts_with("this is no list: "), "{}", error.len());
    }
}
