//! Classes that are learnt from examples: how they are fitted (the crate `segearth_learn`), and the file that keeps them.

mod file;

pub use file::{
    EXTENSION, Header, Learnt, LearntClass, LearntExample, LearntModel, LearntSettings, MOST_FURTHER_BANDS,
    StoredSamples,
};
pub use segearth_learn::{
    COLOURS, Candidate, ClassFigures, Figures, Fitted, Held, LearntQuery, LocalImage, LocalTerm, MOST_SURROUNDINGS,
    Place, REACH, Start, Suggestions, TrainingSet, count, descriptors, fit, surroundings,
};
