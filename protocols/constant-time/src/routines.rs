//! Routines that handle secrets.

use mpc_core::bits::{beaver_and, transpose_64};
use mpc_core::block::{Planes, TILE_WORDS, transpose_128};
use mpc_core::doubling::Doubling;
use mpc_core::gf128;
use mpc_core::hash::CorrelationHash;
use mpc_core::leaves::{LEAF_BITS, LEAVES, Leaves, Streams, TILE_BLOCKS};
use mpc_core::random::{Domain, PrivateSeed, PublicSeed};
use mpc_core::session::SessionId;
use mpc_core::step::StepPath;
use mpc_core::world::World;
use mpc_core::{Bits, Block, PartyId, PowerOfTwo, Result, Session, Z64, Z128};
use protocols::additive::Additive;
use protocols::additive::demand::{Link, budget};
use protocols::matching::{Segment, empty};
use protocols::ot::silent::expand_convolute::{Element, ExpandConvolute, Pair};
use protocols::ot::silent::pprf::{Hidden, Leaf, Shape};
use protocols::ot::{Ot, tree};
use protocols::parameters::Code;
use protocols::relational::differencing::{Check, Columns, Counted, Form, Ledgered, Method};
use protocols::relational::patients::{Circuit, Place, When};
use protocols::{Engine, Statement};

use crate::{public, secret};

/// By name.
pub const ALL: [(&str, fn()); 17] = [
    ("correlation hash of secret rows", hash_rows),
    ("lowest bits of hashes of secret rows", hash_bits),
    ("streams and folds of secret seeds", fold),
    ("tree regrown with a secret delta", regrow),
    ("transposing secret planes", transpose),
    ("AND with a secret triple", and_with_triple),
    ("products taken with secret choices in Z64", take_plane::<Z64>),
    ("products taken with secret choices in Z128", take_plane::<Z128>),
    ("products offered of secret numbers", offer_plane),
    ("OTs with secret choices, both sides", ots),
    ("silent trees with secret noise", silent_trees),
    ("compressing secret noise", compress),
    ("products of secret elements", multiply),
    ("products of secret numbers, both sites", products),
    ("signs of secret numbers, both sites", signs),
    ("differences of secret sets, both sites", differences),
    ("differences over half the pairs of sites, three sites", telescoped),
];

fn blocks(len: usize) -> Vec<Block> {
    secret((1..=len as u128).map(|i| Block(i << 64 | i)).collect())
}

fn words(len: usize) -> Vec<u64> {
    secret((1..=len as u64).collect())
}

fn hash() -> CorrelationHash {
    CorrelationHash::new(SessionId([1; 32]), &StepPath::root(), PartyId(0), PartyId(1))
}

fn hash_rows() {
    let (delta, mut out) = (blocks(1)[0], vec![Block::ZERO; 1000]);
    hash().hash(&blocks(1000), delta, 5, &mut out);
    public(&mut out);
}

fn hash_bits() {
    let (delta, mut out) = (blocks(1)[0], vec![0; 16]);
    hash().hash_bits(&blocks(1024), delta, 5, &mut out);
    public(&mut out);
}

fn fold() {
    let seeds: [Block; LEAVES] = std::array::from_fn(|i| blocks(i + 1)[i]);
    let (mut streams, mut sum, mut planes) = (Streams::new(), [0; TILE_WORDS], [[0; TILE_WORDS]; LEAF_BITS]);
    let leaves = Leaves::new(&seeds);
    streams.seek(3, TILE_BLOCKS);
    leaves.fold(&mut streams, &mut sum, &mut planes);
    public(&mut sum);
    public(planes.as_flattened_mut());
}

fn regrow() {
    let mut seeds = tree::regrow(blocks(1)[0], &blocks(LEAF_BITS), &blocks(tree::CORRECTIONS));
    public(&mut seeds[..]);
}

fn transpose() {
    let mut planes = Box::new(Planes::default());
    planes.0.iter_mut().for_each(|plane| plane.copy_from_slice(&words(TILE_WORDS)));
    let mut rows = vec![Block::ZERO; 64 * TILE_WORDS];
    transpose_128(&planes, &mut rows);
    public(&mut rows);
    let mut square: [u64; 64] = std::array::from_fn(|i| words(i + 1)[i]);
    transpose_64(&mut square);
    public(&mut square);
}

fn and_with_triple() {
    let mut c = words(100);
    beaver_and(&mut c, &words(100), &words(100), &[3; 100], &[5; 100], true);
    public(&mut c);
}

fn take_plane<R: PowerOfTwo>() {
    let mut acc = vec![R::default(); 200];
    for plane in [0, 1, 33] {
        let bytes = (R::BITS - plane).div_ceil(8);
        R::take_plane(plane, &blocks(200), &words(4), bytes, &vec![7; 200 * bytes + 16], &mut acc);
    }
    public(&mut acc);
}

fn offer_plane() {
    let values: Vec<Z64> = words(200).into_iter().map(Z64).collect();
    let (mut acc, mut message) = (vec![Z64(0); 200], vec![0; 8 * 200 + 16]);
    Z64::offer_plane(0, (&blocks(200), &blocks(200)), &values, &mut acc, 8, &mut message);
    public(&mut acc);
    public(&mut message);
}

/// The correction that travels depends on the choices, so the sender's side works on undefined values too.
fn ots() {
    let program = |mut session: Session, (): ()| async move {
        let result = both_sides(&mut session).await;
        (session, result)
    };
    let outcomes = World::new(2).seed(1).run(program, vec![(); 2]);
    assert!(outcomes.iter().all(|o| o.result.is_ok()), "both sites are honest");
}

async fn both_sides(session: &mut Session) -> Result<()> {
    let with = session.other_sites()[0];
    let mut ot = Ot::setup(session).await?;
    let received = ot.receiver(with).choose(session, &words(200))?;
    let offered = ot.sender(with).offer(session, 200).await?;
    let (mut chosen, mut zero, mut one) = (Vec::new(), Vec::new(), Vec::new());
    received.hash_into(&mut chosen);
    offered.hash_into(&mut zero, &mut one);
    [chosen, zero, one].iter_mut().for_each(|column| public(column));
    let (mut zero, mut one) = offered.hash_bits();
    public(&mut zero);
    public(&mut one);
    Ok(())
}

fn silent_trees() {
    for (tree_len, leaf) in [(128, Leaf::Choice), (100, Leaf::Element)] {
        let shape = Shape { trees: 64, tree_len, leaf };
        let seed = secret(vec![1u8; 32]);
        let mut rng = PrivateSeed::new(std::array::from_fn(|i| seed[i])).prg(Domain::Test, &StepPath::root());
        let hidden = Hidden::new(shape, &mut rng);
        let doubling = Doubling::new([1; 16], [2; 16]);
        let (masks, message) = (blocks(shape.ots()), blocks(shape.message_blocks()));
        let mut leaves = hidden.leaves(&doubling, &masks, &message, &blocks(shape.trees));
        public(&mut leaves);
        let mut noise = vec![Block::ZERO; tree_len];
        hidden.noise(5, blocks(1)[0], &mut noise);
        public(&mut noise);
    }
}

fn compress() {
    for code in [Code::ExpandConvolute7, Code::ExpandConvolute21] {
        let code = ExpandConvolute::new(code, PublicSeed([1; 32]));
        let mut noise = blocks(1 << 12);
        code.compress(&mut noise);
        public(&mut noise);
        let mut elements: Vec<Element> = blocks(1 << 12).into_iter().map(Element).collect();
        code.add_parity(&mut elements, |at, Element(sum)| noise[at & 2047] ^= sum);
        let mut pairs: Vec<Pair> = blocks(1 << 12).into_iter().map(|x| Pair([Element(x), Element(x)])).collect();
        code.add_parity(&mut pairs, |at, Pair([a, b])| noise[at & 2047] ^= a.0 ^ b.0);
        public(&mut noise);
    }
}

fn multiply() {
    let (mut acc, xs) = (blocks(100), blocks(100));
    gf128::mul_add_into(&mut acc, xs[7], &xs);
    gf128::mul_each_add_into(&mut acc, &xs, &xs);
    gf128::scale(&mut acc, xs[9]);
    acc.push(gf128::inner_product(&xs, &xs));
    acc.extend(gf128::powers(xs[3], 5));
    acc.push(gf128::invert(xs[3]));
    public(&mut acc);
}

fn products() {
    on_secret_numbers(Operation::Product);
}

fn signs() {
    on_secret_numbers(Operation::Sign);
}

fn differences() {
    on_secret_numbers(Operation::Differences);
}

#[derive(Clone, Copy)]
enum Operation {
    Product,
    Sign,
    Differences,
}

async fn apply<E: Engine>(e: &mut E, operation: Operation, own: Vec<Z64>) -> Result<()> {
    let own = e.input(own);
    match operation {
        Operation::Product => e.mul(&own, &own).await.map(drop),
        Operation::Sign => e.negative(&own, 16).await.map(drop),
        Operation::Differences => far(e).await,
    }
}

/// Both ways of counting, up to the bit that would be opened.
async fn far<E: Engine>(e: &mut E) -> Result<()> {
    let ledgered =
        Ledgered { patients: 20, passes: 1, sets: 3, pairs: vec![(0, 1), (0, 2)], least: 3, ..Ledgered::default() };
    for method in [Method::Exact, Method::Buckets { buckets: 64, hashes: 2 }] {
        let check = Check::new(&ledgered, 2, PublicSeed([1; 32])).expect("a reviewed size").by(method);
        let bins = secret_bins(e, &check);
        check.far(e, &bins).await?;
    }
    Ok(())
}

/// Bins of which everything that is shared is secret.
fn secret_bins(e: &mut impl Engine, check: &Check) -> Vec<Segment> {
    let mut segments = empty(check.shapes(), check.runs());
    for holder in segments.iter_mut().flat_map(|segment| &mut segment.holders) {
        let (rows, width, numbers) = (holder.member.rows(), holder.bits.width(), holder.numbers.len());
        let mut secret = |width: usize| e.input_bits(Bits::from_words(rows, width, words(rows.div_ceil(64) * width)));
        (holder.member, holder.bits) = (secret(1), secret(width));
        holder.numbers = (0..numbers).map(|_| e.input(words(rows).into_iter().map(Z64).collect())).collect();
    }
    segments
}

/// The other form, with the OTs that it makes by itself: two sets that sites say and one that a circuit counts, up to the bit.
fn telescoped() {
    let program = |session: Session, (): ()| async move {
        let mut engine = Additive::new(session, Statement::new(Vec::new()));
        let result = telescoped_bit(&mut engine).await;
        (engine.into_session(), result)
    };
    let outcomes = World::new(3).seed(1).run(program, vec![(); 3]);
    assert!(outcomes.iter().all(|o| o.result.is_ok()), "all sites are honest");
}

async fn telescoped_bit(engine: &mut Additive) -> Result<()> {
    let ledgered = Ledgered {
        patients: 20,
        passes: 1,
        sets: 3,
        pairs: vec![(0, 1), (0, 2)],
        or_equal: vec![(1, 2)],
        least: 3,
        form: Form::Telescoped,
        ..Ledgered::default()
    };
    let check = Check::of(&ledgered, &sixes(3), 3, PublicSeed([1; 32])).expect("a reviewed size");
    engine.prepare(&check.budget(Link::Local)?).await?;
    let bins = secret_bins(engine, &check);
    check.bit(engine, &bins).await.map(drop)
}

/// Two sets that are said, and whose number over all sites is not below six.
fn sixes(sites: usize) -> Counted {
    let mut circuit = Circuit::default();
    let party = |site: usize| PartyId(site as u8);
    let told = |receiver: usize| [(When::After, receiver + 1), (When::Before, receiver)];
    for (receiver, when, tellers) in (0..sites).flat_map(|j| told(j).map(|(when, tellers)| (j, when, tellers))) {
        let (mut sum, six) = (circuit.number(0), circuit.number(6));
        for site in 0..tellers {
            let number = circuit.known_number(Place { receiver: party(receiver), site: party(site), column: 0 });
            sum = circuit.add(sum, number);
        }
        let less = circuit.less(sum, six, 20);
        let bit = circuit.not(less);
        circuit.flag_when(2, party(receiver), when, bit);
    }
    let said = [(0, vec![0; sites]), (1, vec![1; sites])].into();
    Counted { circuit, columns: vec![Columns { numbers: 1, bits: 2 }; sites], said }
}

/// What the sites send is masked and so undefined too; these operations do not look at what they open.
fn on_secret_numbers(operation: Operation) {
    let zeros = vec![Z64(0); 100];
    let needed = budget(2, Link::Local, async move |e| apply(e, operation, zeros).await).expect("it can be counted");
    let program = move |session: Session, (): ()| {
        let needed = needed.clone();
        async move {
            let mut engine = Additive::new(session, Statement::new(Vec::new()));
            let result = match engine.prepare(&needed).await {
                Ok(()) => apply(&mut engine, operation, words(100).into_iter().map(Z64).collect()).await,
                Err(error) => Err(error),
            };
            (engine.into_session(), result)
        }
    };
    let outcomes = World::new(2).seed(1).run(program, vec![(); 2]);
    assert!(outcomes.iter().all(|o| o.result.is_ok()), "both sites are honest");
}
