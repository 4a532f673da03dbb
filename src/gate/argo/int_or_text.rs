//! A number that may be written as text, with what Kubernetes makes of either.

/// An integer, or text that may read as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrText {
    /// A number.
    Int(i32),
    /// Text: an integer in decimal, or 0.
    Text(String),
}

impl IntOrText {
    /// The number as validation sees it: 64 bits, cut at either end. Text that is no decimal integer is 0, silently.
    pub fn wide(&self) -> i64 {
        match self {
            Self::Int(number) => i64::from(*number),
            Self::Text(text) => match text.parse::<i64>() {
                Ok(number) => number,
                Err(error) => match error.kind() {
                    std::num::IntErrorKind::PosOverflow => i64::MAX,
                    std::num::IntErrorKind::NegOverflow => i64::MIN,
                    _ => 0,
                },
            },
        }
    }

    /// The number as counting sees it: the low 32 bits of [`wide`](Self::wide).
    pub fn narrow(&self) -> i32 {
        self.wide() as i32
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for IntOrText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i32(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for IntOrText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = IntOrText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a 32-bit integer or text")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<IntOrText, E> {
                match i32::try_from(number) {
                    Ok(number) => Ok(IntOrText::Int(number)),
                    Err(_) => Err(E::custom(format!(
                        "{number} is beyond 32 bits; write it as text or make it smaller"
                    ))),
                }
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<IntOrText, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<IntOrText, E> {
                Err(E::custom(format!("{number} is no integer")))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<IntOrText, E> {
                Ok(IntOrText::Text(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_integer_is_zero_and_large_ones_are_cut() {
        for (text, wide, narrow) in [
            ("3", 3, 3),
            ("+2", 2, 2),
            ("-1", -1, -1),
            (" 2", 0, 0),
            ("50%", 0, 0),
            ("many", 0, 0),
            ("", 0, 0),
            ("1.5", 0, 0),
            ("3000000000", 3_000_000_000, -1_294_967_296),
            ("99999999999999999999", i64::MAX, -1),
        ] {
            let value = IntOrText::Text(text.to_owned());
            assert_eq!((value.wide(), value.narrow()), (wide, narrow), "{text:?}");
        }
    }
}
