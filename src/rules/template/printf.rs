//! `printf`, as Go's `fmt.Sprintf` writes the values that templates have.

use crate::model::number::{format_e, format_g, format_significant, quote, quote_char};

use super::value::Value;

/// The widest and most precise that a verb may ask for.
const WIDEST: usize = 1_000;

#[derive(Clone, Copy, Default)]
struct Verb {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The text with the values in place, of at most `limit` bytes.
pub(super) fn printf(format: &str, values: &[Value], limit: usize) -> Result<String, String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut number = None;
            while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) {
                let before = number.unwrap_or(0_usize);
                number = Some(before.saturating_mul(10).saturating_add(digit as usize));
            }
            match number {
                Some(number) if number > WIDEST => {
                    Err(format!("a width or precision of {number} is more than {WIDEST}"))
                }
                number => Ok(number),
            }
        };
        verb.width = number(&mut chars)?;
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(number(&mut chars)?.unwrap_or(0));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some('*' | '[') => {
                return Err("`*` and `[n]` in a format are not supported in templates of rules".to_owned());
            }
            Some(letter) => match values.next() {
                Some(value) => out.push_str(&verb.format(letter, value)?),
                None => out.push_str(&format!("%!{letter}(MISSING)")),
            },
        }
        if out.len() > limit {
            break;
        }
    }
    let extra: Vec<String> = values.map(typed).collect::<Result<_, String>>()?;
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    if out.len() > limit {
        return Err(format!("the text is longer than {limit} bytes (template_bytes)"));
    }
    Ok(out)
}

/// `float64=1`, as Go shows a value that does not fit.
fn typed(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Data(_) => {
            return Err("the alert as a whole cannot be printed here; take its parts".to_owned());
        }
        value => format!("{}={}", value.type_name(), value.print_in_function()?),
    })
}

impl Verb {
    fn format(&self, letter: char, value: &Value) -> Result<String, String> {
        let has_form = self.minus || self.plus || self.sharp || self.space || self.zero;
        let has_form = has_form || self.width.is_some() || self.precision.is_some();
        let unsupported = || {
            Err(format!(
                "the verb %{letter} with these flags is not supported for {} in templates of rules",
                value.type_name()
            ))
        };
        let text = match (letter, value) {
            ('p', _) | ('T', Value::Data(_)) => return unsupported(),
            ('T', Value::Nil) => "<nil>".to_owned(),
            ('T', value) => value.type_name().to_owned(),
            ('v', Value::Nil) => "<nil>".to_owned(),
            (letter, Value::Nil) => return Ok(format!("%!{letter}(<nil>)")),
            (_, Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
                return self.format_basic(letter, value).unwrap_or_else(unsupported);
            }
            // Go writes the parts of these one by one, each in this form.
            ('v' | 's', value) if !has_form => {
                if letter == 's' && !matches!(value, Value::Labels(_) | Value::Time(_) | Value::Duration(_)) {
                    return unsupported();
                }
                value.print_in_function()?
            }
            _ => return unsupported(),
        };
        Ok(self.padded(&text))
    }

    /// What has no parts; `None` for what is not supported.
    fn format_basic(&self, letter: char, value: &Value) -> Option<Result<String, String>> {
        let text = match (letter, value) {
            ('v', _) if self.sharp => return None,
            ('v', value) => {
                // Of `%+v` only the letter is left.
                let plain = Self { plus: false, ..*self };
                return Some(Ok(plain.plainly(value)));
            }
            ('s', Value::Text(text)) => self.cut(text),
            ('q', Value::Text(text)) if self.sharp && !text.contains('`') => format!("`{}`", self.cut(text)),
            ('q', Value::Text(text)) => quote(self.cut(text).as_bytes()),
            ('x' | 'X', Value::Text(_)) if self.sharp || self.space || self.precision.is_some() => {
                return None;
            }
            ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            ('t', Value::Bool(value)) => value.to_string(),
            ('d' | 'b' | 'o' | 'x' | 'X', Value::Int(value)) => {
                return Some(Ok(self.integer(letter, *value)));
            }
            ('O' | 'U', Value::Int(_)) | ('b' | 'x' | 'X', Value::Float(_)) => return None,
            ('c' | 'q', Value::Int(value)) => {
                let c = u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                if letter == 'c' { c.to_string() } else { quote_char(c) }
            }
            ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(_)) if self.sharp => return None,
            ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(value)) => {
                return Some(Ok(self.float(letter, *value)));
            }
            (letter, value) => {
                return Some(Ok(format!("%!{letter}({}={})", value.type_name(), self.plainly(value))));
            }
        };
        Some(Ok(self.padded_text(&text)))
    }

    /// As `%v` with the same flags.
    fn plainly(&self, value: &Value) -> String {
        match value {
            Value::Text(text) => self.padded_text(&self.cut(text)),
            Value::Bool(value) => self.padded_text(if *value { "true" } else { "false" }),
            Value::Int(value) => self.integer('d', *value),
            Value::Float(value) => self.float('g', *value),
            _ => String::new(),
        }
    }

    /// The first characters, if there is a precision.
    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_owned(),
        }
    }

    fn integer(&self, letter: char, value: i64) -> String {
        let digits = match letter {
            'b' => format!("{:b}", value.unsigned_abs()),
            'o' => format!("{:o}", value.unsigned_abs()),
            'x' => format!("{:x}", value.unsigned_abs()),
            'X' => format!("{:X}", value.unsigned_abs()),
            _ => value.unsigned_abs().to_string(),
        };
        let digits = match self.precision {
            Some(0) if value == 0 => return self.padded(""),
            Some(least) => format!("{digits:0>least$}"),
            None => digits,
        };
        let prefix = match (self.sharp, letter) {
            (true, 'x') => "0x",
            (true, 'X') => "0X",
            (true, 'o') => "0",
            (true, 'b') => "0b",
            _ => "",
        };
        self.signed(value < 0, &format!("{prefix}{digits}"), self.precision.is_none())
    }

    fn float(&self, letter: char, value: f64) -> String {
        let precision =
            |default: u16| self.precision.map_or(default, |p| u16::try_from(p).unwrap_or(u16::MAX));
        let magnitude = if value.is_nan() { value } else { value.abs() };
        let text = match letter {
            _ if !value.is_finite() => if value.is_nan() { "NaN" } else { "Inf" }.to_owned(),
            'e' | 'E' => format_e(magnitude, precision(6)),
            'f' | 'F' => format!("{magnitude:.*}", usize::from(precision(6))),
            _ if self.precision.is_some() => format_significant(magnitude, precision(1).max(1)),
            _ => format_g(magnitude),
        };
        let text = if matches!(letter, 'E' | 'G') && value.is_finite() { text.to_uppercase() } else { text };
        if value == f64::INFINITY && !self.plus && !self.space {
            return self.padded(&format!("+{text}"));
        }
        self.signed(value.is_sign_negative() && !value.is_nan(), &text, value.is_finite())
    }

    fn signed(&self, is_negative: bool, digits: &str, zeros: bool) -> String {
        let sign = match (is_negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        match self.width {
            Some(width) if self.zero && !self.minus && zeros => {
                let width = width.saturating_sub(sign.len());
                format!("{sign}{digits:0>width$}")
            }
            _ => self.padded(&format!("{sign}{digits}")),
        }
    }

    /// Go fills up texts with zeros as well.
    fn padded_text(&self, text: &str) -> String {
        self.filled(text, self.zero)
    }

    fn padded(&self, text: &str) -> String {
        self.filled(text, false)
    }

    fn filled(&self, text: &str, zeros: bool) -> String {
        match self.width {
            Some(width) if self.minus => format!("{text:<width$}"),
            Some(width) if zeros => format!("{text:0>width$}"),
            Some(width) => format!("{text:>width$}"),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_write_as_in_go() {
        let (float, int, text) = (Value::Float(1234.5678), Value::Int(-42), Value::text("h\u{e9}\"x"));
        let rows = [
            ("%.2f|%8.1f|%-8.1f|%08.1f|%+.0f", &float, "1234.57|"),
            ("%v", &float, "1234.5678"),
            ("%.3g", &float, "1.23e+03"),
            ("%e", &float, "1.234568e+03"),
            ("%d", &float, "%!d(float64=1234.5678)"),
            ("%s", &float, "%!s(float64=1234.5678)"),
            ("%5d", &int, "  -42"),
            ("%05d", &int, "-0042"),
            ("%x", &int, "-2a"),
            ("%f", &int, "%!f(int=-42)"),
            ("%s", &text, "h\u{e9}\"x"),
            ("%q", &text, "\"h\u{e9}\\\"x\""),
            ("%.2s|", &text, "h\u{e9}|"),
            ("%6s|", &text, "  h\u{e9}\"x|"),
            ("%-6s|", &text, "h\u{e9}\"x  |"),
            ("%%%v", &Value::Bool(true), "%true"),
            ("%v", &Value::Float(f64::INFINITY), "+Inf"),
            ("%.2f", &Value::Float(f64::NEG_INFINITY), "-Inf"),
            ("%z", &int, "%!z(int=-42)"),
        ];
        for (format, value, wanted) in rows {
            let got = printf(format, std::slice::from_ref(value), 1000).unwrap();
            assert!(got.starts_with(wanted), "{format}: {got}");
            if !wanted.ends_with('|') || format.ends_with('|') {
                assert_eq!(got, wanted, "{format}");
            }
        }
        assert_eq!(printf("%v %", &[], 100).unwrap(), "%!v(MISSING) %!(NOVERB)");
        assert_eq!(printf("a", &[int], 100).unwrap(), "a%!(EXTRA int=-42)");
        assert!(printf("%9999d", &[Value::Int(1)], 100).unwrap_err().contains("more than"));
        assert!(
            printf("%900d%900d", &[Value::Int(1), Value::Int(2)], 1000)
                .unwrap_err()
                .contains("template_bytes")
        );
    }
}
