//! Products of one party's bits with another party's numbers, shared between the two: one correlated OT each.

use mpc_core::block::Block;
use mpc_core::{Bits, PartyId, PowerOfTwo, Result, Session};

use zeroize::Zeroize;

use crate::ot::{OtReceiver, OtSender, Received};

/// Columns that are used again from call to call: large ones are dear to allocate.
#[derive(Default)]
pub(crate) struct Buffers {
    zero: Vec<Block>,
    one: Vec<Block>,
    message: Vec<u8>,
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.zero.zeroize();
        self.one.zeroize();
    }
}

/// The side that holds numbers: for every plane j of the other side's bits and every element i, subtracts its part of
/// bit·value·2^j from `acc[i]`… so that afterwards both sides' accumulators grew by bit·value·2^j together.
///
/// The other side's choice is hidden by the OT; the value by the mask of the message that was not chosen. An element of
/// plane j needs only its low BITS − j bits, because it is multiplied by 2^j.
///
/// One message of `Σ_j ceil((BITS − j)/8)` bytes per element, after the other side's correction.
///
/// # Source
/// Gilboa, Two Party RSA Key Generation, Crypto'99, §4.1; correlated OT after Asharov–Lindell–Schneider–Zohner, CCS'13, §5.
pub(super) async fn offer<R: PowerOfTwo>(
    session: &mut Session,
    sender: &mut OtSender,
    to: PartyId,
    planes: usize,
    values: &[R],
    acc: &mut [R],
    buffers: &mut Buffers,
) -> Result<()> {
    let stride = values.len().div_ceil(64);
    let offered = sender.offer(session, planes * stride).await?;
    let Buffers { zero, one, message } = buffers;
    offered.hash_into(zero, one);
    let len = message_len::<R>(planes, values.len());
    grow(message, len + 16);
    let mut from = 0;
    for plane in 0..planes {
        let at = plane * stride * 64;
        let masks = (&zero[at..at + values.len()], &one[at..at + values.len()]);
        let bytes = element_bytes::<R>(plane);
        R::offer_plane(plane, masks, values, acc, bytes, &mut message[from..]);
        from += bytes * values.len();
    }
    session.send(to, &message[..len])
}

/// The side that holds bits: queues its choices.
pub(super) fn choose(session: &mut Session, receiver: &mut OtReceiver, bits: &Bits) -> Result<Received> {
    receiver.choose(session, bits.words())
}

/// The side that holds bits: adds its part of bit·value·2^j to `acc[i]`, for every plane j and element i.
pub(super) async fn take<R: PowerOfTwo>(
    session: &mut Session,
    from: PartyId,
    received: Received,
    bits: &Bits,
    acc: &mut [R],
    buffers: &mut Buffers,
) -> Result<()> {
    let Buffers { zero: masks, message, .. } = buffers;
    received.hash_into(masks);
    let len = message_len::<R>(bits.width(), bits.rows());
    grow(message, len + 16);
    let mut at = 0;
    let take = |block: &[u8]| {
        message[at..at + block.len()].copy_from_slice(block);
        at += block.len();
    };
    session.recv_blocks(from, len, take).await?;
    let mut rest = message.as_slice();
    for plane in 0..bits.width() {
        let at = plane * bits.stride() * 64;
        let bytes = element_bytes::<R>(plane);
        R::take_plane(plane, &masks[at..at + bits.rows()], bits.plane(plane), bytes, rest, acc);
        rest = &rest[bytes * bits.rows()..];
    }
    Ok(())
}

/// Messages hold nothing that their receiver may not see, and are overwritten as far as they are used.
fn grow(message: &mut Vec<u8>, len: usize) {
    if message.len() < len {
        message.resize(len, 0);
    }
}

fn element_bytes<R: PowerOfTwo>(plane: usize) -> usize {
    (R::BITS - plane).div_ceil(8)
}

/// Bytes of a message for `len` elements and so many planes.
pub(crate) fn message_len<R: PowerOfTwo>(planes: usize, len: usize) -> usize {
    (0..planes).map(|plane| element_bytes::<R>(plane) * len).sum()
}
