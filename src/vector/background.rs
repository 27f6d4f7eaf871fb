//! Writes features on a background thread, so that tracing does not wait for the disk.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::feature::Feature;
use super::write::{BATCH, BATCH_BYTES, VectorWriter};
use crate::error::{Context, Error, Result};

/// A [`VectorWriter`] on a background thread; features reach it in batches.
pub struct BackgroundWriter {
    batches: Option<SyncSender<Vec<Feature>>>,
    thread: Option<JoinHandle<Result<()>>>,
    pending: Vec<Feature>,
    pending_bytes: usize,
}

impl BackgroundWriter {
    pub fn new(writer: VectorWriter) -> Result<Self> {
        let (sender, receiver) = sync_channel(2);
        let thread = std::thread::Builder::new()
            .name("vector-writer".into())
            .spawn(move || drain(writer, &receiver))
            .internal(|| "cannot start the writing thread".into())?;
        Ok(Self { batches: Some(sender), thread: Some(thread), pending: Vec::new(), pending_bytes: 0 })
    }

    pub fn push(&mut self, feature: Feature) -> Result<()> {
        self.pending_bytes += feature.wkb.len();
        self.pending.push(feature);
        if self.pending.len() >= BATCH || self.pending_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let sent = self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_ok());
        // The thread closes the channel only after an error, which `join` returns.
        if sent { Ok(()) } else { self.join().and_then(|()| Err(Error::internal("the writing thread stopped early"))) }
    }

    /// Writes the pending features and completes the file.
    pub fn finish(mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        // An empty batch requests publication. If the channel closes without one, the caller failed.
        let last = self.batches.as_ref().is_some_and(|batches| batches.send(Vec::new()).is_ok());
        self.join()?;
        if last { Ok(()) } else { Err(Error::internal("the writing thread stopped early")) }
    }

    fn join(&mut self) -> Result<()> {
        self.batches = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::internal("the writing thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn drain(mut writer: VectorWriter, batches: &Receiver<Vec<Feature>>) -> Result<()> {
    for batch in batches {
        if batch.is_empty() {
            return writer.finish();
        }
        writer.write(batch)?;
    }
    Ok(())
}
