//! Punctured pseudo-random functions, many at once: trees whose leaves one side knows all of and the other all but one.
//!
//! Each tree has one noise position. The sender grows it from a root; the receiver gets, for each level, the sum of the nodes on
//! the side that its hidden path does not take, and so learns every node off the path. One more block for each tree puts the
//! hidden leaf, shifted, in its place: where the sender shifts tree j by s_j and the receiver by r_j, the leaves v of the receiver
//! and w of the sender have v = w ⊕ e, where e is s_j ⊕ r_j at the hidden leaf of tree j and zero elsewhere. Silent OT takes
//! s_j = Δ and r_j = 0; silent VOLE takes for both the halves of a product β_j·Δ.
//!
//! For OT the lowest bit of every leaf is cleared and that of Δ is set, so that the lowest bit of v says where e is not zero, and
//! stays the choice bit through any linear code.
//!
//! Levels are laid out so that child b of node i among m nodes is node i + b·m: bit ℓ of a leaf's index is its turn at level ℓ.
//! Where the leaves are no power of two the last parents have left children only.
//!
//! # Source
//! Boyle et al., CCS'19 (ePrint 2019/1159), §4: puncturing with one OT for each level. Lowest bit as choice bit: an optimisation of
//! Yang et al., Ferret, CCS'20.
//! # Constant time
//! Hidden positions are used in masks only: every node of a level is touched for every fix.

use mpc_core::Block;
use mpc_core::doubling::Doubling;
use mpc_core::random::Prg;
use mpc_core::ring::Z128;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

const LOWEST: u128 = 1;

/// What a leaf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// 127 bits above a choice bit.
    Choice,
    /// An element of GF(2^128).
    Element,
}

impl Leaf {
    /// Cuts a last node to a leaf.
    fn cut(self, node: Block) -> Block {
        match self {
            Leaf::Choice => Block(node.0 & !LOWEST),
            Leaf::Element => node,
        }
    }
}

/// The shape of a batch: `trees` trees with `tree_len` leaves each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Trees.
    pub trees: usize,
    /// Leaves of one tree, at least 2.
    pub tree_len: usize,
    /// What they are.
    pub leaf: Leaf,
}

impl Shape {
    /// Levels below the root.
    pub fn depth(self) -> usize {
        self.tree_len.next_power_of_two().ilog2() as usize
    }

    /// OTs it takes, one for each tree and level, tree by tree.
    pub fn ots(self) -> usize {
        self.trees * self.depth()
    }

    /// Leaves of all trees.
    pub fn leaves(self) -> usize {
        self.trees * self.tree_len
    }

    /// Blocks from sender to receiver: two for each OT, one for each tree.
    pub fn message_blocks(self) -> usize {
        2 * self.ots() + self.trees
    }

    /// Of each level, from the root's: parents and their children.
    fn levels(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.depth()).map(move |level| (1 << level, self.tree_len.min(2 << level)))
    }
}

/// A uniform Δ with its lowest bit set: 127 bits of it are secret.
pub fn offset(rng: &mut Prg) -> Block {
    Block(rng.element::<Z128>().0 | LOWEST)
}

/// The sender's trees.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Grown {
    leaves: Vec<Block>,
    /// Of each tree and level: the sum of its left and of its right nodes.
    sums: Vec<[Block; 2]>,
    /// Of each tree: the sum of its leaves.
    totals: Vec<Block>,
}

impl Grown {
    /// Grows trees from fresh roots.
    pub fn new(shape: Shape, doubling: &Doubling, roots: &mut Prg) -> Self {
        let mut grown = Self {
            leaves: vec![Block::default(); shape.leaves()],
            sums: Vec::with_capacity(shape.ots()),
            totals: Vec::with_capacity(shape.trees),
        };
        for leaves in grown.leaves.chunks_exact_mut(shape.tree_len) {
            leaves[0] = Block(roots.element::<Z128>().0);
            let sums = shape.levels().map(|(parents, children)| doubling.double(&mut leaves[..children], parents));
            grown.sums.extend(sums);
            leaves.iter_mut().for_each(|leaf| *leaf = shape.leaf.cut(*leaf));
            let last = grown.sums[grown.sums.len() - 1];
            grown.totals.push(shape.leaf.cut(last[0] ^ last[1]));
        }
        grown
    }

    /// What the receiver needs: both sums of every level under the two masks of its OT, then the total of each tree, shifted.
    pub fn message(&self, zero: &[Block], one: &[Block], shifts: &[Block]) -> Vec<Block> {
        let masked = self.sums.iter().zip(zero.iter().zip(one));
        let masked = masked.flat_map(|(sums, (zero, one))| [sums[0] ^ *zero, sums[1] ^ *one]);
        masked.chain(self.totals.iter().zip(shifts).map(|(total, shift)| *total ^ *shift)).collect()
    }

    /// The leaves w of all trees.
    pub fn into_leaves(mut self) -> Vec<Block> {
        std::mem::take(&mut self.leaves)
    }
}

/// The receiver's hidden leaves, as choices for its OTs: bit i is 1 when the hidden path of OT i's tree turns left.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Hidden {
    choices: Vec<u64>,
    #[zeroize(skip)]
    shape: Shape,
}

impl Hidden {
    /// One uniform leaf for each tree (see `below`). Panics when the OTs do not fill whole words: the table
    /// has no such shape.
    pub fn new(shape: Shape, rng: &mut Prg) -> Self {
        assert!(shape.ots().is_multiple_of(64), "the table's batches have 256 trees");
        Self::of(shape, (0..shape.trees).map(|_| below(rng.element(), shape.tree_len as u64)))
    }

    fn of(shape: Shape, leaves: impl Iterator<Item = u64>) -> Self {
        let mut choices = vec![0; shape.ots().div_ceil(64)];
        let turns = leaves.flat_map(|leaf| (0..shape.depth()).map(move |level| leaf >> level & 1));
        for (ot, turn) in turns.enumerate() {
            choices[ot / 64] |= (turn ^ 1) << (ot % 64);
        }
        Self { choices, shape }
    }

    /// Writes the noise of one tree: `value` at its hidden leaf, zero elsewhere. `out` has a place for each leaf.
    pub fn noise(&self, tree: usize, value: Block, out: &mut [Block]) {
        assert_eq!(out.len(), self.shape.tree_len, "one place for each leaf");
        out.fill(Block::ZERO);
        let depth = self.shape.depth();
        let turn = |level: usize| u64::from((!self.choice(tree * depth + level)).unwrap_u8()) << level;
        let mut index = (0..depth).fold(0, |index, level| index | turn(level));
        patch(out, index, value);
        index.zeroize();
    }

    /// The choices, 64 to a word, the first lowest: for each level the side off the path.
    pub fn choices(&self) -> &[u64] {
        &self.choices
    }

    fn choice(&self, ot: usize) -> Choice {
        Choice::from((self.choices[ot / 64] >> (ot % 64) & 1) as u8)
    }

    /// The receiver's leaves v, from the masks it chose, the sender's message and what each tree's hidden leaf is shifted by.
    ///
    /// Panics when there is not one mask for each OT or shift for each tree, or the message has another length; the caller stated
    /// all of them.
    pub fn leaves(&self, doubling: &Doubling, masks: &[Block], message: &[Block], shifts: &[Block]) -> Vec<Block> {
        let shape = self.shape;
        let lengths = (masks.len(), message.len(), shifts.len());
        assert_eq!(lengths, (shape.ots(), shape.message_blocks(), shape.trees));
        let (sums, corrections) = message.split_at(2 * shape.ots());
        let zero = doubling.of_zero();
        let mut leaves = vec![Block::default(); shape.leaves()];
        for (tree, leaves) in leaves.chunks_exact_mut(shape.tree_len).enumerate() {
            let mut path = Path { index: 0, zero, rest: Block::default() };
            for (level, (parents, children)) in shape.levels().enumerate() {
                let ot = tree * shape.depth() + level;
                let off_path = self.choice(ot);
                let sum = masks[ot] ^ select(sums[2 * ot], sums[2 * ot + 1], off_path);
                path.descend(doubling, &mut leaves[..children], parents, !off_path, sum);
            }
            // All leaves but the hidden one are known, and so is their sum; the hidden one is zero so far.
            let shifted = corrections[tree] ^ shifts[tree] ^ shape.leaf.cut(path.rest);
            leaves.iter_mut().for_each(|leaf| *leaf = shape.leaf.cut(*leaf));
            patch(leaves, path.index, shifted);
            path.zeroize();
        }
        leaves
    }
}

/// A uniform number as an index below `len`, without rejection: no index is favoured by more than len/2^128.
fn below(uniform: Z128, len: u64) -> u64 {
    let [low, high] = [uniform.0 as u64, (uniform.0 >> 64) as u64].map(|word| u128::from(word) * u128::from(len));
    ((high + (low >> 64)) >> 64) as u64
}

/// The way to the hidden leaf of one tree.
#[derive(Zeroize)]
struct Path {
    /// The hidden node of the current level.
    index: u64,
    /// The children of a zero node.
    zero: [Block; 2],
    /// The sum of all nodes of the level but the hidden one.
    rest: Block,
}

impl Path {
    /// One level down. The hidden parent is zero before and its child on the path zero after; `sum` is that of all true children
    /// on the other side.
    fn descend(&mut self, doubling: &Doubling, nodes: &mut [Block], parents: usize, turn: Choice, sum: Block) {
        let sums = doubling.double(nodes, parents);
        // The zero node made its public children: one is removed, the other replaced by what is missing to `sum`. At the last
        // level it may have a left child only; then nothing is missing and there is no place for it.
        let fixes = [select(self.zero[0], sums[0] ^ sum, turn), select(sums[1] ^ sum, self.zero[1], turn)];
        let (left, right) = nodes.split_at_mut(parents);
        patch(left, self.index, fixes[0]);
        patch(right, self.index, fixes[1]);
        self.rest = sums[0] ^ sums[1] ^ fixes[0] ^ fixes[1];
        self.index |= u64::conditional_select(&0, &(parents as u64), turn);
    }
}

/// Nodes that share the comparison with a hidden index.
const ROW: usize = 16;

/// Adds `value` to the node at a hidden index, touching all nodes alike.
fn patch(nodes: &mut [Block], index: u64, value: Block) {
    let (row, lane) = (index / ROW as u64, index % ROW as u64);
    let lanes: [Block; ROW] = std::array::from_fn(|at| Block(value.0 & mask((at as u64).ct_eq(&lane))));
    for (at, nodes) in nodes.chunks_mut(ROW).enumerate() {
        let here = mask((at as u64).ct_eq(&row));
        for (node, lane) in nodes.iter_mut().zip(&lanes) {
            node.0 ^= lane.0 & here;
        }
    }
}

fn select(zero: Block, one: Block, choice: Choice) -> Block {
    Block(zero.0 ^ ((zero.0 ^ one.0) & mask(choice)))
}

fn mask(choice: Choice) -> u128 {
    0u128.wrapping_sub(u128::from(choice.unwrap_u8()))
}

#[cfg(test)]
mod tests {
    use mpc_core::random::{Domain, PrivateSeed};
    use mpc_core::step::StepPath;

    use super::*;

    const SEED: u8 = 7;

    fn prg(label: &str) -> Prg {
        PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root().child(label, 0))
    }

    fn blocks(label: &str, len: usize) -> Vec<Block> {
        let mut rng = prg(label);
        (0..len).map(|_| Block(rng.element::<Z128>().0)).collect()
    }

    fn doubling() -> Doubling {
        Doubling::new([1; 16], [2; 16])
    }

    fn shape(trees: usize, tree_len: usize) -> Shape {
        Shape { trees, tree_len, leaf: Leaf::Choice }
    }

    /// The hidden leaf of each tree is `leaf(tree)`.
    fn hidden(shape: Shape, leaf: impl Fn(usize) -> usize) -> Hidden {
        Hidden::of(shape, (0..shape.trees).map(|tree| leaf(tree) as u64))
    }

    struct Run {
        sender: Vec<Block>,
        receiver: Vec<Block>,
        delta: Block,
    }

    /// Both sides with ideal OTs; `tamper` may change the message.
    fn run(shape: Shape, hidden: &Hidden, tamper: impl FnOnce(&mut [Block])) -> Run {
        println!("seed {SEED}, {shape:?}");
        let (zero, one) = (blocks("zero", shape.ots()), blocks("one", shape.ots()));
        let delta = offset(&mut prg("delta"));
        let grown = Grown::new(shape, &doubling(), &mut prg("roots"));
        let mut message = grown.message(&zero, &one, &vec![delta; shape.trees]);
        tamper(&mut message);
        let masks: Vec<Block> = (0..shape.ots()).map(|ot| select(zero[ot], one[ot], hidden.choice(ot))).collect();
        let receiver = hidden.leaves(&doubling(), &masks, &message, &vec![Block::ZERO; shape.trees]);
        Run { sender: grown.into_leaves(), receiver, delta }
    }

    impl Run {
        /// v = w ⊕ e·Δ, where e is what `noisy` says.
        fn holds(&self, noisy: impl Fn(usize) -> bool) -> bool {
            let shift = |at| if noisy(at) { self.delta } else { Block::default() };
            self.sender.iter().zip(&self.receiver).enumerate().all(|(at, (w, v))| *v == *w ^ shift(at))
        }
    }

    #[test]
    fn every_leaf_of_a_small_tree_of_any_length_can_be_hidden() {
        for tree_len in (2..=33).chain([63, 64, 65, 100, 128, 300]) {
            let shape = shape(tree_len, tree_len);
            let run = run(shape, &hidden(shape, |tree| tree), |_| ());
            assert!(run.holds(|at| at % tree_len == at / tree_len), "{tree_len} leaves");
        }
    }

    #[test]
    fn whole_leaves_differ_at_the_hidden_one_by_both_shifts_and_the_noise_is_there() {
        for tree_len in [2, 3, 47, 64] {
            let shape = Shape { trees: 10, tree_len, leaf: Leaf::Element };
            println!("seed {SEED}, {shape:?}");
            let (zero, one) = (blocks("zero", shape.ots()), blocks("one", shape.ots()));
            let (ours, theirs) = (blocks("ours", 10), blocks("theirs", 10));
            let hidden = hidden(shape, |tree| tree * 5 % tree_len);
            let grown = Grown::new(shape, &doubling(), &mut prg("roots"));
            let message = grown.message(&zero, &one, &ours);
            let masks: Vec<Block> = (0..shape.ots()).map(|ot| select(zero[ot], one[ot], hidden.choice(ot))).collect();
            let receiver = hidden.leaves(&doubling(), &masks, &message, &theirs);
            let sender = grown.into_leaves();
            let mut noise = vec![Block::ZERO; shape.leaves()];
            for (tree, noise) in noise.chunks_exact_mut(tree_len).enumerate() {
                hidden.noise(tree, ours[tree] ^ theirs[tree], noise);
                assert!(noise.iter().filter(|x| **x != Block::ZERO).count() == 1);
                assert!(noise[tree * 5 % tree_len] != Block::ZERO);
            }
            assert!((0..shape.leaves()).all(|i| receiver[i] == sender[i] ^ noise[i]), "{tree_len} leaves");
        }
    }

    #[test]
    fn the_lowest_bit_of_a_receivers_leaf_says_whether_it_is_hidden_and_a_senders_is_clear() {
        let shape = shape(64, 32);
        let run = run(shape, &hidden(shape, |tree| tree * 7 % 32), |_| ());
        let hidden = |at: usize| at % 32 == at / 32 * 7 % 32;
        assert!(run.receiver.iter().enumerate().all(|(at, v)| (v.0 & 1 == 1) == hidden(at)));
        assert!(run.sender.iter().all(|w| w.0 & 1 == 0));
    }

    #[test]
    fn uniform_hidden_leaves_reach_every_leaf_alike() {
        for tree_len in [16, 11] {
            let shape = shape(1024, tree_len);
            let hidden = Hidden::new(shape, &mut prg("noise"));
            let run = run(shape, &hidden, |_| ());
            let place = |tree: usize| (0..tree_len).find(|at| run.receiver[tree_len * tree + at].0 & 1 == 1).unwrap();
            assert!(run.holds(|at| place(at / tree_len) == at % tree_len));
            let mut counts = vec![0u32; tree_len];
            (0..1024).for_each(|tree| counts[place(tree)] += 1);
            let expected = 1024.0 / tree_len as f64;
            // Chi-square with at most 15 degrees of freedom: 53 is beyond 2^-17.
            let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
            assert!(chi < 53.0, "chi-square {chi}");
        }
    }

    #[test]
    fn one_corrupted_level_sum_that_is_read_breaks_the_relation() {
        let shape = shape(4, 16);
        let leaf = |tree: usize| tree * 5 % 16;
        for ot in 0..shape.ots() {
            let read = usize::from(leaf(ot / 4) >> (ot % 4) & 1 == 0);
            let of_side = |side: usize| {
                let run = run(shape, &hidden(shape, leaf), |message| message[2 * ot + side].0 ^= 2);
                run.holds(|at| at % 16 == leaf(at / 16))
            };
            assert!(!of_side(read), "OT {ot}");
            assert!(of_side(1 - read), "the side on the path is never read, OT {ot}");
        }
    }

    #[test]
    fn leaves_look_random() {
        let shape = shape(16, 1 << 12);
        let run = run(shape, &hidden(shape, |tree| tree), |_| ());
        let mut counts = [0u32; 256];
        run.sender.iter().for_each(|leaf| counts[(leaf.0 >> 64) as usize & 255] += 1);
        let chi: f64 = counts.iter().map(|c| (f64::from(*c) - 256.0).powi(2) / 256.0).sum();
        // 255 degrees of freedom: 380 is beyond 2^-20.
        assert!(chi < 380.0, "chi-square {chi}");
    }
}
