//! What a line asks for.

use std::time::Duration;

pub(crate) const HELP: &str = "\
a query is evaluated at the instant that the prompt shows; what differs from a query begins with a backslash:

  \\at SECONDS            another instant, in seconds since the epoch
  \\at start | end        the first or the last sample
  \\range LENGTH STEP     from now on over a range that ends at the instant, as \\range 1h 15s; sparklines
  \\instant               from now on at the instant alone
  \\explain QUERY         what every operator would do
  \\analyze QUERY         what every operator did, and how long it took
  \\format QUERY          the query, laid out
  \\metrics [PART]        names of metrics, those with PART in them
  \\help, \\quit

the tabulator completes metrics, functions, labels and their values; a query goes on in the next line until it can end
";

/// A line that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command<'a> {
    Nothing,
    Query(&'a str),
    At(At),
    Range(Duration, Duration),
    Instant,
    Explain(&'a str),
    Analyze(&'a str),
    Format(&'a str),
    Metrics(&'a str),
    Help,
    Quit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum At {
    Start,
    End,
    Seconds(f64),
}

impl<'a> Command<'a> {
    pub(crate) fn parse(line: &'a str) -> Result<Self, String> {
        let line = line.trim();
        let Some(command) = line.strip_prefix('\\') else {
            return Ok(if line.is_empty() { Self::Nothing } else { Self::Query(line) });
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match (name, rest) {
            ("at", "start") => Ok(Self::At(At::Start)),
            ("at", "end") => Ok(Self::At(At::End)),
            ("at", seconds) => match seconds.parse::<f64>() {
                Ok(seconds) if seconds.is_finite() => Ok(Self::At(At::Seconds(seconds))),
                _ => Err(format!("\\at takes seconds since the epoch, start or end, not {seconds:?}")),
            },
            ("range", lengths) => {
                let mut parts = lengths.split_whitespace().map(duration);
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(Some(length)), Some(Some(step)), None) => Ok(Self::Range(length, step)),
                    _ => Err("\\range takes a length and a step, as in \\range 1h 15s".to_owned()),
                }
            }
            ("instant", "") => Ok(Self::Instant),
            ("explain", query) if !query.is_empty() => Ok(Self::Explain(query)),
            ("analyze", query) if !query.is_empty() => Ok(Self::Analyze(query)),
            ("format", query) if !query.is_empty() => Ok(Self::Format(query)),
            ("metrics", part) => Ok(Self::Metrics(part)),
            ("help" | "h" | "?", "") => Ok(Self::Help),
            ("quit" | "q" | "exit", "") => Ok(Self::Quit),
            _ => Err(format!("\\{name} is no command, or takes something else; \\help shows them")),
        }
    }
}

/// `90s`, `15m`, `1h`, `2d`; at least a millisecond.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(millis)?;
    (millis > 0 && millis < 1 << 53).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_queries() {
        let seconds = Duration::from_secs;
        for (line, expected) in [
            ("  ", Command::Nothing),
            (" up ", Command::Query("up")),
            ("\\at 12.5", Command::At(At::Seconds(12.5))),
            ("\\at end", Command::At(At::End)),
            ("\\range 1h 15s", Command::Range(seconds(3_600), seconds(15))),
            ("\\explain up", Command::Explain("up")),
            ("\\analyze sum(up)", Command::Analyze("sum(up)")),
            ("\\metrics", Command::Metrics("")),
            ("\\q", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Ok(expected), "{line}");
        }
        for line in [
            "\\",
            "\\x",
            "\\at",
            "\\at nan",
            "\\range 1h",
            "\\range 1h 0s",
            "\\range 99999999999999999999d 1s",
            "\\analyze",
            "\\instant x",
        ] {
            assert!(Command::parse(line).is_err(), "{line}");
        }
    }
}
