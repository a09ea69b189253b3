//! Products of one party's bits with another party's numbers, shared between the two: one correlated OT each.

use mpc_core::block::Block;
use mpc_core::{Bits, PartyId, PowerOfTwo, Result, Session};

use zeroize::Zeroize;

use crate::ot::{OtReceiver, OtSender, Received};

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
) -> Result<()> {
    let stride = values.len().div_ceil(64);
    let offered = sender.offer(session, planes * stride).await?;
    let (mut zero, mut one) = (Vec::new(), Vec::new());
    offered.hash_into(&mut zero, &mut one);
    let mut message = Vec::with_capacity(message_len::<R>(planes, values.len()) + 16);
    for plane in 0..planes {
        let at = plane * stride * 64;
        let masks = (&zero[at..at + values.len()], &one[at..at + values.len()]);
        offer_plane(plane, masks, values, acc, &mut message);
    }
    zero.zeroize();
    one.zeroize();
    session.send(to, &message)
}

fn offer_plane<R: PowerOfTwo>(
    plane: usize,
    (zero, one): (&[Block], &[Block]),
    values: &[R],
    acc: &mut [R],
    message: &mut Vec<u8>,
) {
    let (bytes, power) = (element_bytes::<R>(plane), R::power(plane));
    let start = message.len();
    message.resize(start + bytes * values.len() + 16, 0);
    for (i, ((zero, one), value)) in zero.iter().zip(one).zip(values).enumerate() {
        let (zero, one) = (R::from_low(zero.0), R::from_low(one.0));
        acc[i] = acc[i].sub(zero.mul(power));
        // Sixteen bytes are written, of which the next element overwrites what is too much.
        let at = start + i * bytes;
        message[at..at + 16].copy_from_slice(&zero.sub(one).add(*value).to_low().to_le_bytes());
    }
    message.truncate(start + bytes * values.len());
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
) -> Result<()> {
    let mut masks = Vec::new();
    received.hash_into(&mut masks);
    let mut message: Vec<u8> = session.recv(from, message_len::<R>(bits.width(), bits.rows())).await?;
    message.resize(message.len() + 16, 0);
    let mut rest = message.as_slice();
    for plane in 0..bits.width() {
        let at = plane * bits.stride() * 64;
        take_plane(plane, &masks[at..at + bits.rows()], bits.plane(plane), rest, acc);
        rest = &rest[element_bytes::<R>(plane) * bits.rows()..];
    }
    masks.zeroize();
    Ok(())
}

fn take_plane<R: PowerOfTwo>(plane: usize, masks: &[Block], choices: &[u64], message: &[u8], acc: &mut [R]) {
    let (bytes, power) = (element_bytes::<R>(plane), R::power(plane));
    for (i, (mask, acc)) in masks.iter().zip(acc).enumerate() {
        let correction = u128::from_le_bytes(message[i * bytes..i * bytes + 16].try_into().expect("sixteen bytes"));
        let chosen = 0u128.wrapping_sub(u128::from(choices[i / 64] >> (i % 64) & 1));
        let part = R::from_low(mask.0).add(R::from_low(correction & chosen));
        *acc = acc.add(part.mul(power));
    }
}

fn element_bytes<R: PowerOfTwo>(plane: usize) -> usize {
    (R::BITS - plane).div_ceil(8)
}

/// Bytes of a message for `len` elements and so many planes.
pub(super) fn message_len<R: PowerOfTwo>(planes: usize, len: usize) -> usize {
    (0..planes).map(|plane| element_bytes::<R>(plane) * len).sum()
}
