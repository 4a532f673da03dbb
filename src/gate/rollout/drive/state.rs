//! A rollout and its gates as a value: what survives a restart.

use std::collections::BTreeMap;

use crate::gate::binary::{Owner, binary_fields, written_state};
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

written_state!(GatedRolloutState, Owner::GatedRollout, STATE_VERSION);
