//! Values to verdict.
