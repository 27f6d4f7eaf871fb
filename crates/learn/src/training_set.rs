//! What is learnt from: samples with their features, descriptors, classes and places, and words to begin with.

#![expect(clippy::indexing_slicing, reason = "classes by numbers below their count")]

use crate::scene::Pooling;

/// The words that learning begins with.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// Number of classes.
    pub classes: usize,
    /// Vectors (query, D) of the words, and the class of each.
    pub words: &'a [f32],
    pub word_classes: &'a [usize],
    /// Factor on the logits before the soft-max.
    pub logit_scale: f32,
    /// How the prompts of a class make its score where words alone decide.
    pub pooling: Pooling,
}

/// Samples of all examples. A sample is a pixel, an example a click, line or polygon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingSet {
    /// D
    pub width: usize,
    /// Local descriptors of a sample; 0: none are used.
    pub locals: usize,
    /// Blended features of the pixels, (sample, D).
    pub features: Vec<f32>,
    /// (sample, descriptor)
    pub local: Vec<f32>,
    /// Features of pixels around the examples, whose classes are not known, (pixel, D): by them the words say how common the
    /// classes are. Empty: nothing is known of that.
    pub surroundings: Vec<f32>,
    /// Their descriptors, (pixel, descriptor): on these pixels few examples change no class too far. Empty: the examples stand in.
    pub surroundings_local: Vec<f32>,
    /// The class of each sample.
    pub classes: Vec<usize>,
    /// The example of each sample.
    pub examples: Vec<usize>,
    /// Where each sample lies.
    pub places: Vec<Place>,
    /// Samples of a scene that are no farther apart than this, in columns and in rows, know of each other: where one is left
    /// out, the other is not learnt from.
    pub reach: u32,
}

/// A pixel of one of several scenes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub scene: usize,
    pub col: u32,
    pub row: u32,
}

impl TrainingSet {
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The examples of each class in their order, each once.
    pub fn examples_of_classes(&self, classes: usize) -> Vec<Vec<usize>> {
        let mut examples = vec![Vec::new(); classes];
        for (&example, &class) in self.examples.iter().zip(&self.classes) {
            examples[class].push(example);
        }
        for examples in &mut examples {
            examples.sort_unstable();
            examples.dedup();
        }
        examples
    }

    /// One more than the largest number of an example.
    pub(super) fn example_count(&self) -> usize {
        self.examples.iter().max().map_or(0, |most| most + 1)
    }
}
