//! Classes that are learnt from examples: a linear classifier over the model's features and local image descriptors, which the
//! engine applies as it applies words.
//!
//! Logits are scalar products of blended pixel features with query vectors, so a linear classifier *is* a set of query vectors.
//!
//! ```text
//!  surroundings: features ──► weights of the classes
//!                                    ▼
//!  samples: features, descriptors, class, example ──► fit (objective: L-BFGS) ──► queries, bias, coefficients
//!                 └──► validate: leaves out whole examples; chooses the penalty, the temperature; figures
//! ```
//!
//! No files, no GDAL, no libtorch: what remains is arithmetic on samples. It is a crate of its own so that it is optimised in
//! tests too, where all else is not.

use segearth_error as error;
use segearth_windows::{geom, scene};

mod bound;
mod descriptors;
mod fit;
mod labels;
mod objective;
mod suggest;
mod surroundings;
mod training_set;
mod validate;
mod weights;

pub use descriptors::{COLOURS, LocalImage, LocalTerm, REACH, count, descriptors};
pub use fit::{Fitted, Held, LearntQuery, fit};
pub use suggest::{Candidate, Suggestions};
pub use surroundings::{MOST_SURROUNDINGS, surroundings};
pub use training_set::{Place, Start, TrainingSet};
pub use validate::{ClassFigures, Figures};
