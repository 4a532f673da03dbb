//! Replacement texts: what stands for the groups of a match.

use super::Groups;

/// A replacement text with references to groups, as Go's `Regexp.Expand` understands it.
pub(crate) struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Group(String),
}

impl Template {
    /// Reads a replacement text; every text is one.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            match reference(after) {
                Some((name, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Group(name.to_owned()));
                    rest = after;
                }
                None => {
                    literal.push('$');
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        Self { parts }
    }

    /// The text with the groups in place.
    pub(crate) fn expand(&self, groups: &Groups<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(name) => {
                    let text = match group_number(name) {
                        Some(index) => groups.get(index),
                        None => groups.named(name),
                    };
                    out.push_str(text.unwrap_or(""));
                }
            }
        }
        out
    }
}

/// The name behind a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(braced) = text.strip_prefix('{') {
        let (name, after) = braced.split_once('}')?;
        return (!name.is_empty() && name.chars().all(is_word)).then_some((name, after));
    }
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

/// The number that a reference is; a leading zero makes it a name.
fn group_number(name: &str) -> Option<usize> {
    let number = !name.starts_with('0') || name.len() == 1;
    if number && name.bytes().all(|byte| byte.is_ascii_digit()) { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::GroupPattern;
    use super::*;

    fn expand(template: &str) -> String {
        let pattern = GroupPattern::new(b"(a+)-(?P<tail>.*)").unwrap();
        Template::parse(template).expand(&pattern.captures("aa-b").unwrap())
    }

    #[test]
    fn references_are_replaced_by_their_groups() {
        assert_eq!(expand("$1x"), "");
        assert_eq!(expand("${1}x$tail"), "aaxb");
        assert_eq!(expand("$0|$$|$2.$9"), "aa-b|$|b.");
    }

    #[test]
    fn malformed_references_stay() {
        assert_eq!(expand("$|${|${}|${a-b}|$-"), "$|${|${}|${a-b}|$-");
        assert_eq!(expand("$01"), "");
    }
}
