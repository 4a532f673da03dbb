//! What holds for the frames of any bytes, for the fuzz target `frame_scan`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a law that does not hold stops the test that checks it"
)]

use super::frame::{Frame, FrameKind, scan};

const SALT: u64 = 0x0123_4567_89ab_cdef;
const FIRST: u64 = 5;

/// The longest run of frames is taken, nothing past a bad one; and what vouches for missing frames is found at any offset.
///
/// The first byte says how many bytes are frames to be written: each of kind, durable, length; the rest is changes to them,
/// each of place and value, or if the number is 0 the file itself.
pub(crate) fn assert_scan(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let script = rest.get(..usize::from(*count) * 3).unwrap_or(rest);
    let rest = &rest[script.len()..];
    let mut file = Vec::new();
    for (sequence, frame) in (FIRST..).zip(script.chunks_exact(3)) {
        let kind = [FrameKind::Batch, FrameKind::Anew, FrameKind::Mark][usize::from(frame[0] % 3)];
        let payload = vec![frame[2]; usize::from(frame[2]) * usize::from(1 + (frame[0] >> 6))];
        // Some sequences are left out.
        let sequence = sequence + u64::from(frame[0] >> 2 & 7 == 7);
        Frame { sequence, durable: u64::from(frame[1] % 32), kind, payload: &payload }.put(SALT, &mut file);
    }
    if script.is_empty() {
        file.extend_from_slice(rest);
    } else {
        for change in rest.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % (file.len() + 1);
            match change[2] {
                0 => file.truncate(at),
                1 => file.insert(at, 0),
                value if at < file.len() => file[at] ^= value,
                _ => {}
            }
        }
    }
    // The law takes a look at every offset, at the price of the bytes behind it.
    file.truncate(1 << 13);
    assert_file(&file);
}

fn assert_file(file: &[u8]) {
    let found = scan(file, 0, SALT, FIRST);
    assert_eq!(found.end + found.rest, file.len());
    let mut again = Vec::new();
    for (frame, sequence) in found.frames.iter().zip(FIRST..) {
        assert_eq!(frame.sequence, sequence, "sequences rise by 1");
        frame.put(SALT, &mut again);
    }
    assert_eq!(again, file[..found.end], "frames are what the file says");
    let missing = FIRST + found.frames.len() as u64;
    let at = |offset: usize| Frame::read(&file[offset..], SALT, |_| true);
    assert!(at(found.end).is_none_or(|frame| frame.sequence != missing), "the run ends too early");
    let (mut offset, mut next, mut behind) = (found.end, missing, Vec::new());
    while offset < file.len() {
        match at(offset).filter(|frame| (next..missing + (1 << 40)).contains(&frame.sequence)) {
            Some(frame) => {
                behind.push((frame.sequence, frame.durable, frame.kind, frame.payload.to_vec()));
                next = frame.sequence + 1;
                offset += frame.length();
            }
            None => offset += 1,
        }
    }
    let found_behind =
        found.behind.iter().map(|frame| (frame.sequence, frame.durable, frame.kind, frame.payload.to_vec()));
    assert_eq!(found_behind.collect::<Vec<_>>(), behind);
    assert_eq!(found.vouched, behind.iter().map(|(_, durable, ..)| *durable).max());
    let refused = found.vouched.is_some_and(|durable| durable >= missing);
    assert_eq!(found.check(FIRST, "log").is_err(), refused);
}
