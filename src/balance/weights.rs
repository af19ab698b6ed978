//! Draws by weight: an index with a probability in proportion to its weight, in a fixed time.

use crate::rng::Draws;

/// Where all weights are the same, there is nothing to keep; else for each index the share of draws that
/// it keeps for itself, and who gets the others (Walker's alias method, in the form of Vose).
#[derive(Debug)]
pub(super) struct Weights {
    count: usize,
    sum: f64,
    aliases: Option<Box<[(f32, u32)]>>,
}

impl Weights {
    pub(super) fn new(weights: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let count = weights.len();
        let sum: f64 = weights.clone().sum();
        let first = weights.clone().next();
        let same = weights.clone().all(|weight| Some(weight) == first);
        let aliases = (!same).then(|| aliases(weights, sum));
        Self { count, sum, aliases }
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    #[inline]
    pub(super) fn draw(&self, draw: u64) -> usize {
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
