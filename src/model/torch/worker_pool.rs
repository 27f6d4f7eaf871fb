//! libtorch on the CPU: some windows, and some texts, to each thread.
//!
//! Within a call, libtorch shares each operation out among its threads, which then wait for each other: spinning, for they
//! expect it to be short. Where anything else runs on the machine, the waiting soon costs several times the work. Windows
//! have nothing to do with each other: a thread computes its own from beginning to end. It takes several at once, since it
//! has to read all of the model's weights for them.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Context, Result};
use crate::model::Images;

/// Windows that a thread computes at once: for a single one, reading the weights of a ViT-B takes a sixth of the time.
const CHUNK: usize = 4;

/// Windows of a batch, but for one a thread: those that wait between reader, model and stitcher take memory.
const MOST: usize = 32;

/// Threads in which libtorch uses no further threads.
pub(super) struct WorkerPool {
    threads: ThreadPool,
    /// Windows that a thread computes at once.
    chunk: usize,
}

impl WorkerPool {
    /// As many as libtorch would take.
    pub fn new() -> Result<Self> {
        let threads = ThreadPoolBuilder::new()
            .num_threads(super::threads())
            .thread_name(|_| "libtorch".into())
            // The setting is per thread.
            .start_handler(|_| tch::set_num_threads(1));
        let threads = threads.build().internal(|| "cannot start the model's threads".into())?;
        Ok(Self { threads, chunk: CHUNK })
    }

    /// The same with one window at a time to each thread: for models whose intermediate results of a window are large.
    #[must_use]
    pub fn window_by_window(self) -> Self {
        Self { chunk: 1, ..self }
    }

    /// Returns the number of windows that use all threads.
    pub fn batch(&self) -> usize {
        let threads = self.threads.current_num_threads();
        (self.chunk * threads).min(MOST).next_multiple_of(threads)
    }

    /// A batch shared out evenly.
    pub fn chunks(&self, images: &Images) -> impl Iterator<Item = Images> {
        let chunk = images.count.div_ceil(self.threads.current_num_threads()).clamp(1, self.chunk);
        (0..images.count).step_by(chunk).map(move |first| images.part(first, chunk.min(images.count - first)))
    }

    /// Returns the result of `compute` for each chunk, in order.
    pub fn each<T: Send>(
        &self,
        work: Vec<T>,
        compute: impl Fn(T) -> Result<Vec<f32>> + Send + Sync,
    ) -> Result<Vec<f32>> {
        let answers: Vec<Vec<f32>> =
            self.threads.install(|| work.into_par_iter().map(compute).collect::<Result<_>>())?;
        Ok(answers.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;

    #[test]
    fn chunks_are_even_and_results_in_order() {
        let threads = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let pool = WorkerPool { threads, chunk: CHUNK };
        assert_eq!(pool.batch(), 12);
        for (count, chunks) in [(12, vec![4; 3]), (20, vec![4; 5]), (7, vec![3, 3, 1]), (2, vec![1, 1]), (0, vec![])] {
            let size = Size::new(2, 1);
            let pixels: Vec<f32> = (0..6 * count).map(|pixel| pixel as f32).collect();
            let images = Images { size, count, tokens: Some(pixels.clone()), pixels };
            let shared: Vec<Images> = pool.chunks(&images).collect();
            assert_eq!(shared.iter().map(|images| images.count).collect::<Vec<_>>(), chunks);
            assert!(shared.iter().all(|images| images.tokens.as_ref() == Some(&images.pixels)));
            assert_eq!(pool.each(shared, |images| Ok(images.pixels)).unwrap(), images.pixels);
        }
    }
}
