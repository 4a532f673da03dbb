//! The functions of the language: one row each.

use super::ast::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// What a function takes and returns.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    /// Types of the arguments; with `variadic` the last one is optional or repeats.
    pub(crate) args: &'static [ValueType],
    /// 0: exactly `args`. n > 0: the last argument may be left out, and come up to n times. -1: any number of times,
    /// none included.
    pub(crate) variadic: i8,
    pub(crate) returns: ValueType,
    pub(crate) experimental: bool,
}

macro_rules! functions {
    ($($variant:ident $name:literal ($($arg:expr),*) $variadic:literal -> $returns:expr $(, $experimental:ident)?;)*) => {
        /// A function of the language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Function {
            $($variant,)*
        }

        impl Function {
            /// All of them, in the order of their names.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// The function called `name`; names are case-sensitive.
            pub(crate) fn by_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The function's row.
            pub(crate) const fn signature(self) -> &'static Signature {
                match self {
                    $(Self::$variant => &Signature {
                        name: $name,
                        args: &[$($arg),*],
                        variadic: $variadic,
                        returns: $returns,
                        experimental: functions!(@experimental $($experimental)?),
                    },)*
                }
            }
        }
    };
    (@experimental experimental) => { true };
    (@experimental) => { false };
}

functions! {
    Abs "abs" (Vector) 0 -> Vector;
    Absent "absent" (Vector) 0 -> Vector;
    AbsentOverTime "absent_over_time" (Matrix) 0 -> Vector;
    Acos "acos" (Vector) 0 -> Vector;
    Acosh "acosh" (Vector) 0 -> Vector;
    Asin "asin" (Vector) 0 -> Vector;
    Asinh "asinh" (Vector) 0 -> Vector;
    Atan "atan" (Vector) 0 -> Vector;
    Atanh "atanh" (Vector) 0 -> Vector;
    AvgOverTime "avg_over_time" (Matrix) 0 -> Vector;
    Ceil "ceil" (Vector) 0 -> Vector;
    Changes "changes" (Matrix) 0 -> Vector;
    Clamp "clamp" (Vector, Scalar, Scalar) 0 -> Vector;
    ClampMax "clamp_max" (Vector, Scalar) 0 -> Vector;
    ClampMin "clamp_min" (Vector, Scalar) 0 -> Vector;
    Cos "cos" (Vector) 0 -> Vector;
    Cosh "cosh" (Vector) 0 -> Vector;
    CountOverTime "count_over_time" (Matrix) 0 -> Vector;
    DayOfMonth "day_of_month" (Vector) 1 -> Vector;
    DayOfWeek "day_of_week" (Vector) 1 -> Vector;
    DayOfYear "day_of_year" (Vector) 1 -> Vector;
    DaysInMonth "days_in_month" (Vector) 1 -> Vector;
    Deg "deg" (Vector) 0 -> Vector;
    Delta "delta" (Matrix) 0 -> Vector;
    Deriv "deriv" (Matrix) 0 -> Vector;
    DoubleExponentialSmoothing "double_exponential_smoothing" (Matrix, Scalar, Scalar) 0 -> Vector, experimental;
    End "end" () 0 -> Scalar, experimental;
    Exp "exp" (Vector) 0 -> Vector;
    FirstOverTime "first_over_time" (Matrix) 0 -> Vector;
    Floor "floor" (Vector) 0 -> Vector;
    HistogramAvg "histogram_avg" (Vector) 0 -> Vector;
    HistogramCount "histogram_count" (Vector) 0 -> Vector;
    HistogramFraction "histogram_fraction" (Scalar, Scalar, Vector) 0 -> Vector;
    HistogramQuantile "histogram_quantile" (Scalar, Vector) 0 -> Vector;
    HistogramQuantiles "histogram_quantiles" (Vector, String, Scalar, Scalar) 9 -> Vector, experimental;
    HistogramStddev "histogram_stddev" (Vector) 0 -> Vector;
    HistogramStdvar "histogram_stdvar" (Vector) 0 -> Vector;
    HistogramSum "histogram_sum" (Vector) 0 -> Vector;
    Hour "hour" (Vector) 1 -> Vector;
    Idelta "idelta" (Matrix) 0 -> Vector;
    Increase "increase" (Matrix) 0 -> Vector;
    Info "info" (Vector, Vector) 1 -> Vector, experimental;
    Irate "irate" (Matrix) 0 -> Vector;
    LabelJoin "label_join" (Vector, String, String, String) -1 -> Vector;
    LabelReplace "label_replace" (Vector, String, String, String, String) 0 -> Vector;
    LastOverTime "last_over_time" (Matrix) 0 -> Vector;
    Ln "ln" (Vector) 0 -> Vector;
    Log10 "log10" (Vector) 0 -> Vector;
    Log2 "log2" (Vector) 0 -> Vector;
    MadOverTime "mad_over_time" (Matrix) 0 -> Vector, experimental;
    MaxOf "max_of" (Scalar, Scalar) 0 -> Scalar, experimental;
    MaxOverTime "max_over_time" (Matrix) 0 -> Vector;
    MinOf "min_of" (Scalar, Scalar) 0 -> Scalar, experimental;
    MinOverTime "min_over_time" (Matrix) 0 -> Vector;
    Minute "minute" (Vector) 1 -> Vector;
    Month "month" (Vector) 1 -> Vector;
    Pi "pi" () 0 -> Scalar;
    PredictLinear "predict_linear" (Matrix, Scalar) 0 -> Vector;
    PresentOverTime "present_over_time" (Matrix) 0 -> Vector;
    QuantileOverTime "quantile_over_time" (Scalar, Matrix) 0 -> Vector;
    Rad "rad" (Vector) 0 -> Vector;
    Range "range" () 0 -> Scalar, experimental;
    Rate "rate" (Matrix) 0 -> Vector;
    Resets "resets" (Matrix) 0 -> Vector;
    Round "round" (Vector, Scalar) 1 -> Vector;
    Scalar_ "scalar" (Vector) 0 -> Scalar;
    Sgn "sgn" (Vector) 0 -> Vector;
    Sin "sin" (Vector) 0 -> Vector;
    Sinh "sinh" (Vector) 0 -> Vector;
    Sort "sort" (Vector) 0 -> Vector;
    SortByLabel "sort_by_label" (Vector, String) -1 -> Vector, experimental;
    SortByLabelDesc "sort_by_label_desc" (Vector, String) -1 -> Vector, experimental;
    SortDesc "sort_desc" (Vector) 0 -> Vector;
    Sqrt "sqrt" (Vector) 0 -> Vector;
    Start "start" () 0 -> Scalar, experimental;
    StartTimestamp "start_timestamp" (Vector) 0 -> Vector, experimental;
    StddevOverTime "stddev_over_time" (Matrix) 0 -> Vector;
    StdvarOverTime "stdvar_over_time" (Matrix) 0 -> Vector;
    Step "step" () 0 -> Scalar, experimental;
    SumOverTime "sum_over_time" (Matrix) 0 -> Vector;
    Tan "tan" (Vector) 0 -> Vector;
    Tanh "tanh" (Vector) 0 -> Vector;
    Time "time" () 0 -> Scalar;
    Timestamp "timestamp" (Vector) 0 -> Vector;
    TsOfFirstOverTime "ts_of_first_over_time" (Matrix) 0 -> Vector, experimental;
    TsOfLastOverTime "ts_of_last_over_time" (Matrix) 0 -> Vector, experimental;
    TsOfMaxOverTime "ts_of_max_over_time" (Matrix) 0 -> Vector, experimental;
    TsOfMinOverTime "ts_of_min_over_time" (Matrix) 0 -> Vector, experimental;
    Vector_ "vector" (Scalar) 0 -> Vector;
    Year "year" (Vector) 1 -> Vector;
}
