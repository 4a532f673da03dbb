//! Dates: Unix seconds to fields of the proleptic Gregorian calendar in UTC, without leap seconds.

const SECONDS_PER_DAY: i64 = 86_400;
/// Years in which the calendar repeats, and their days.
const YEARS_PER_ERA: i64 = 400;
const DAYS_PER_ERA: i64 = 146_097;

/// A broken-down instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
    /// 1 to 366.
    pub(crate) day_of_year: i64,
    /// 0 is Sunday.
    pub(crate) day_of_week: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl DateTime {
    /// The date at `seconds` after the epoch, as Go computes it: a float beyond `i64` is -2^63, which wraps to a day
    /// in the year 292277026596.
    pub(crate) fn from_unix_seconds(seconds: f64) -> Self {
        // 2^63 is exactly representable, i64::MAX is not.
        let limit = -(i64::MIN as f64);
        if seconds >= -limit && seconds < limit {
            let seconds = seconds as i64;
            if seconds != i64::MIN {
                return Self::from_seconds(seconds);
            }
        }
        Self {
            year: 292_277_026_596,
            month: 12,
            day: 4,
            day_of_year: 339,
            day_of_week: 0,
            hour: 15,
            minute: 30,
            second: 8,
        }
    }

    /// The date at `seconds` after the epoch.
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let rest = seconds.rem_euclid(SECONDS_PER_DAY);
        // Howard Hinnant's civil_from_days: eras of 400 years that begin on the first of March. Every term is
        // bounded by i64::MAX / 86400, so nothing here can overflow.
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era.saturating_mul(YEARS_PER_ERA) + year_of_era + i64::from(month <= 2);
        let first_of_month: i64 = (1..month).map(|month| days_in_month(year, month)).sum();
        Self {
            year,
            month,
            day,
            day_of_year: first_of_month + day,
            day_of_week: (days.rem_euclid(7) + 4) % 7,
            hour: rest / 3600,
            minute: rest % 3600 / 60,
            second: rest % 60,
        }
    }

    /// How many days the month of this date has.
    pub(crate) fn days_in_month(self) -> i64 {
        days_in_month(self.year, self.month)
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `2024-01-31T00:00:00Z`; fractions of a second are shown if there are any, without trailing zeros.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    let date = DateTime::from_seconds(time_ms / 1000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        let date = DateTime::from_unix_seconds(1_709_210_096.7);
        assert_eq!((date.year, date.month, date.day), (2024, 2, 29));
        assert_eq!((date.hour, date.minute, date.second), (12, 34, 56));
        assert_eq!((date.day_of_week, date.day_of_year, date.days_in_month()), (4, 60, 29));
        let epoch = DateTime::from_seconds(0);
        assert_eq!((epoch.year, epoch.month, epoch.day, epoch.day_of_week), (1970, 1, 1, 4));
        assert_eq!(DateTime::from_seconds(-1).year, 1969);
    }

    #[test]
    fn what_is_no_time_wraps_as_in_go() {
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let date = DateTime::from_unix_seconds(seconds);
            assert_eq!((date.year, date.day_of_year, date.hour, date.minute), (292_277_026_596, 339, 15, 30));
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        DateTime::from_seconds(i64::MAX);
        DateTime::from_seconds(i64::MIN);
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
    }
}
