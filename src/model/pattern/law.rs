//! The law of the shortcuts: they answer as the engine does.

use regex_automata::nfa::thompson::WhichCaptures;

use super::parse::{Flags, Parsed, parse};
use super::{GroupPattern, Pattern, anchored, compile};

/// If `text` is a pattern, checks the law on `value`.
///
/// # Panics
///
/// If the law does not hold.
pub(crate) fn assert_shape_agrees(text: &[u8], value: &str) {
    let Ok(pattern) = Pattern::new(text) else { return };
    let flags = Flags { dot_matches_newline: true, ..Flags::default() };
    let engine =
        parse(text, flags).and_then(|Parsed { hir, .. }| compile(&anchored(hir), WhichCaptures::None));
    // A set of literals may be larger than what the engine takes.
    let Ok(engine) = engine else { return };
    let shown = String::from_utf8_lossy(text);
    assert_eq!(pattern.matches(value), engine.is_match(value), "{shown:?} on {value:?}");
    if pattern.matches(value) {
        assert!(value.starts_with(pattern.prefix()), "{shown:?}: {value:?} begins with the prefix");
    } else {
        assert!(!pattern.matches_everything(), "{shown:?} matches everything, {value:?} too");
    }
    if let Some(literals) = pattern.set_of_literals() {
        assert!(literals.is_sorted(), "{shown:?}: the literals are sorted");
        assert!(literals.iter().all(|literal| engine.is_match(&**literal)), "{shown:?} matches its literals");
    }
    // An open quotation swallows the parenthesis that label_replace adds.
    if let (Ok(groups), false) = (GroupPattern::new(text), shown.contains("\\Q")) {
        let whole = groups.captures(value).and_then(|groups| groups.get(0));
        assert_eq!(
            whole,
            pattern.matches(value).then_some(value),
            "{shown:?} on {value:?}: the whole is group 0"
        );
    }
}
