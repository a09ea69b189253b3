//! Peeling: an order of keys in which each has a row that no later one takes.

use zeroize::Zeroizing;

/// Keys and pivots, in the order in which they were peeled, and the keys that were set aside for others to be peeled.
pub(super) struct Peeling {
    /// A key and its pivot: of the keys after it none takes that row.
    pub(super) order: Zeroizing<Vec<[u16; 2]>>,
    /// The keys of the gap.
    pub(super) gap: Vec<u16>,
}

/// Peels keys that take three of `sparse` rows each. None when more than `most` keys must be set aside.
pub(super) fn peel(keys: &[[u16; 3]], sparse: usize, most: usize) -> Option<Peeling> {
    let mut state = State::new(keys, sparse);
    let mut gap = Vec::new();
    loop {
        state.peel_singles();
        if state.order.len() + gap.len() == keys.len() {
            return Some(Peeling { order: state.order, gap });
        }
        if gap.len() == most {
            return None;
        }
        let key = state.most_useful(&gap);
        gap.push(key);
        state.remove(key);
    }
}

/// One row: how many of the remaining keys take it, and the XOR of their numbers. With one key left that is its number.
#[derive(Clone, Copy, Default, zeroize::Zeroize)]
struct Row {
    count: u16,
    keys: u16,
}

struct State<'a> {
    keys: &'a [[u16; 3]],
    rows: Zeroizing<Vec<Row>>,
    /// Rows that came down to one key, in that order; each does so once. First in, first out: neighbours in the queue do not wait
    /// for each other's memory.
    queue: Zeroizing<Vec<u16>>,
    head: usize,
    tail: usize,
    order: Zeroizing<Vec<[u16; 2]>>,
}

impl<'a> State<'a> {
    fn new(keys: &'a [[u16; 3]], sparse: usize) -> Self {
        let mut rows = Zeroizing::new(vec![Row::default(); sparse]);
        for (key, places) in (0..).zip(keys) {
            for row in places {
                let row = &mut rows[usize::from(*row)];
                row.count += 1;
                row.keys ^= key;
            }
        }
        // One place more than rows, for the entry that is written but not kept.
        let mut queue = Zeroizing::new(vec![0; sparse + 1]);
        let mut tail = 0;
        for (index, row) in (0..).zip(rows.iter()) {
            queue[tail] = index;
            tail += usize::from(row.count == 1);
        }
        Self { keys, rows, queue, head: 0, tail, order: Zeroizing::new(Vec::with_capacity(keys.len())) }
    }

    fn peel_singles(&mut self) {
        while self.head < self.tail {
            let pivot = self.queue[self.head];
            self.head += 1;
            let row = self.rows[usize::from(pivot)];
            if row.count == 1 {
                self.order.push([row.keys, pivot]);
                self.remove(row.keys);
            }
        }
    }

    #[inline(always)]
    fn remove(&mut self, key: u16) {
        for index in self.keys[usize::from(key)] {
            let row = &mut self.rows[usize::from(index)];
            row.count -= 1;
            row.keys ^= key;
            self.queue[self.tail] = index;
            self.tail += usize::from(row.count == 1);
        }
    }

    /// Of the remaining keys the one that leaves most rows to one other key. Called a few times at most.
    fn most_useful(&self, gap: &[u16]) -> u16 {
        let mut gone = vec![false; self.keys.len()];
        let removed = self.order.iter().map(|[key, _]| key).chain(gap);
        removed.for_each(|key| gone[usize::from(*key)] = true);
        let frees = |key: usize| self.keys[key].iter().filter(|row| self.rows[usize::from(**row)].count == 2).count();
        let remaining = (0..self.keys.len()).filter(|key| !gone[*key]);
        remaining.max_by_key(|key| frees(*key)).expect("keys remain") as u16
    }
}
