//! A rollout and its gates as a value: what survives a restart.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::gate::binary::{Owner, binary_fields, from_bytes, to_bytes};
#[cfg(feature = "serde")]
use crate::gate::checked;
use crate::gate::report::Report;
use crate::gate::rollout::state::{RolloutFields, STATE_VERSION as ROLLOUT_VERSION};
use crate::gate::state::{GateFields, STATE_VERSION as GATE_VERSION};

/// Another form of either is another form of both.
const STATE_VERSION: u16 = ROLLOUT_VERSION + GATE_VERSION;

/// Everything a rollout and its gates have learned. Comparable; as bytes, and with feature `serde` as JSON, it is kept.
///
/// However it is serialized, a checksum goes with it, and one that does not fit is refused.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GatedRolloutState(
    #[cfg_attr(feature = "serde", serde(with = "checked"))] pub(super) GatedRolloutFields,
);

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct GatedRolloutFields {
    pub(super) rollout: RolloutFields,
    pub(super) gates: BTreeMap<String, GateFields>,
    pub(super) reports: BTreeMap<String, Report>,
}

binary_fields!(GatedRolloutFields { rollout, gates, reports });

impl GatedRolloutState {
    /// The state as bytes, with its version and a checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(Owner::GatedRollout, STATE_VERSION, &self.0)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote: the same state.
    ///
    /// # Errors
    ///
    /// As [`GateState::from_bytes`](crate::GateState::from_bytes).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        from_bytes(Owner::GatedRollout, STATE_VERSION, bytes).map(Self)
    }
}

#[cfg(feature = "serde")]
impl GatedRolloutState {
    /// The state as JSON, with a checksum.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if it cannot be written.
    pub fn to_json(&self) -> Result<String> {
        checked::to_json(self, "a rollout and its gates")
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the place if it is something else, and if the state is not the
    /// one that was written.
    pub fn from_json(text: &str) -> Result<Self> {
        checked::from_json(text, "a rollout and its gates")
    }
}
