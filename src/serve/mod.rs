//! The local web application, but for what computes: HTTP with its limits and checks, the page, tiles, and what is remembered of a
//! session.
//!
//! ```text
//!  browser ─► http (limits) ─► guard (host, origin, token, rate) ─► Application (run::serve) ─► Response
//!                                                                       │
//!                     session (classes, examples)  blocks (labels)  tile_grid (map ↔ pixels)  png
//! ```
//!
//! The page draws its map itself on a canvas (`page.js`): tiles, swipe and drawing are some 300 lines, and a program that is built
//! without a map library needs neither Node.js nor the network to be built.

mod blocks;
mod guard;
mod http;
mod message;
mod page;
mod png;
mod session;
mod tile_grid;
mod wmts;

pub use blocks::{Blocks, Legend, Totals};
pub use guard::Guard;
pub use http::{Application, Awaited, Lane, serve};
pub use message::{Body, Method, Request, Response};
pub use page::asset;
pub use png::{indexed as indexed_png, rgba as rgba_png};
pub use session::{ClassEntry, LearntStart, MOST_CLASSES, Session, SessionExample, Shape};
pub use tile_grid::{TILE, TileGrid, TilePixels};
pub use wmts::{Layer as WmtsLayer, capabilities};
