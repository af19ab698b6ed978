//! Draws by weight: an index with a probability in proportion to its weight, in a fixed time.

use crate::rng::Draws;

/// Where all weights are the same, there is nothing to keep; else for each index the share of draws that
/// it keeps for itself, and who gets the others (Walker's alias method, in the form of Vose).
#[derive(Debug)]
pub(crate) struct Weights {
    count: usize,
    sum: f64,
    each: f32,
    aliases: Option<Box<[(f32, u32)]>>,
    /// Steps from one index to another that come by all of them.
    steps: [u32; STEPS],
}

const STEPS: usize = 8;

impl Weights {
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let count = weights.len();
        let sum: f64 = weights.clone().sum();
        let first = weights.clone().next();
        let same = weights.clone().all(|weight| Some(weight) == first);
        let aliases = (!same).then(|| aliases(weights, sum));
        let each = first.unwrap_or(1.0) as f32;
        Self { count, sum, each, aliases, steps: steps(count) }
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// The weight of each, where all are the same.
    #[inline]
    pub(crate) fn of_each(&self) -> Option<f32> {
        if self.aliases.is_none() { Some(self.each) } else { None }
    }

    /// Draws indices, where all weights are the same: one, and then from another one on in random steps, which
    /// meet none of the others twice. So what is not for the first goes to each of the others alike.
    #[inline]
    pub(crate) fn walk(
        &self,
        draws: &mut Draws,
        most: usize,
    ) -> impl Iterator<Item = usize> + Clone + use<> {
        // one draw has chance enough for both and for the step
        let draw = draws.next();
        let (count, first) = (self.count, Draws::below(draw, self.count));
        let mut at = Draws::below(draw << 32, count);
        let step = self.steps[draw as usize % STEPS] as usize;
        // few are looked at whole
        let others = if count <= most { count } else { most - 1 };
        let others = (0..others).map(move |_| {
            let found = at;
            let next = at + step;
            at = if next < count { next } else { next - count };
            found
        });
        std::iter::once(first).chain(others)
    }

    #[inline]
    pub(crate) fn draw(&self, draw: u64) -> usize {
        let index = Draws::below(draw, self.count);
        match &self.aliases {
            None => index,
            Some(aliases) => {
                let (keeps, other) = aliases[index];
                if Draws::share(draw) < keeps { index } else { other as usize }
            }
        }
    }
}

/// Steps that have no factor in common with the count, each with the one that goes the other way round:
/// from any index the next one is in the same share of cases the one before as the one after.
fn steps(count: usize) -> [u32; STEPS] {
    let fits = |step: &usize| common_factor(*step, count) == 1;
    let found: Vec<usize> = (1..count.div_ceil(2)).filter(fits).take(64 * STEPS).collect();
    // far from each other
    let pair =
        |at: usize| found.get(at * found.len() / (STEPS / 2)).copied().unwrap_or(1 % count.max(1));
    std::array::from_fn(|at| {
        let step = pair(at / 2);
        (if at % 2 == 0 { step } else { (count - step) % count.max(1) }) as u32
    })
}

fn common_factor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { common_factor(other, one % other) }
}

fn aliases(weights: impl ExactSizeIterator<Item = f64>, sum: f64) -> Box<[(f32, u32)]> {
    let mean = sum / weights.len() as f64;
    let mut shares: Vec<f64> = weights.map(|weight| weight / mean).collect();
    let mut aliases: Box<[_]> = (0..shares.len() as u32).map(|index| (1.0, index)).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..shares.len()).partition(|index| shares[*index] < 1.0);
    while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
        aliases[less] = (shares[less] as f32, more as u32);
        shares[more] -= 1.0 - shares[less];
        if shares[more] < 1.0 {
            large.pop();
            small.push(more);
        }
    }
    aliases
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(weights: &[f64]) -> Vec<f64> {
        let table = Weights::new(weights.iter().copied());
        let (mut draws, mut counts) = (Draws::new(7), vec![0_u32; weights.len()]);
        (0..200_000).for_each(|_| counts[table.draw(draws.next())] += 1);
        counts.into_iter().map(|count| f64::from(count) / 200_000.0).collect()
    }

    #[test]
    fn draws_follow_the_weights() {
        for weights in [&[1.0, 1.0, 1.0][..], &[1.0, 2.0, 3.0, 4.0], &[0.01, 0.99], &[5.0]] {
            let sum: f64 = weights.iter().sum();
            for (share, weight) in shares(weights).into_iter().zip(weights) {
                assert!((share - weight / sum).abs() < 0.005, "{share} for {weight} of {sum}");
            }
        }
    }

    #[test]
    fn a_walk_comes_by_every_index_and_begins_and_goes_on_anywhere() {
        let mut draws = Draws::new(3);
        for count in 1..100 {
            let weights = Weights::new(vec![1.0; count].into_iter());
            for _ in 0..20 {
                let mut found: Vec<_> = weights.walk(&mut draws, count).skip(1).collect();
                found.sort_unstable();
                assert!(found.into_iter().eq(0..count), "{count}");
            }
        }
        let weights = Weights::new([1.0; 6].into_iter());
        let mut pairs = [[0_u32; 6]; 6];
        for _ in 0..36_000 {
            let walk: Vec<_> = weights.walk(&mut draws, 3).collect();
            pairs[walk[0]][walk[1]] += 1;
        }
        assert!(pairs.iter().flatten().all(|count| (850..1_150).contains(count)), "{pairs:?}");
    }

    proptest! {
        /// J5
        #[test]
        fn any_weights_give_an_index_that_exists(
            weights in proptest::collection::vec(1e-6_f64..1e6, 1..50), seed in any::<u64>(),
        ) {
            let table = Weights::new(weights.iter().copied());
            let mut draws = Draws::new(seed);
            for _ in 0..200 {
                prop_assert!(table.draw(draws.next()) < weights.len());
            }
        }
    }
}
