//! OCI images on this host: import, store, resolve, remove.
//!
//! ```text
//!  registry, archive ──▶ spool, inflate, digest ─┬─▶ layers/sha256/<diff id>, ready to mount
//!  directory ─────────▶ archive, compress, digest┴─▶ blobs/sha256/<digest>, as transferred
//! ```
//!
//! An archive is read once: its digests, the copy that is kept and the layer come out of the same
//! pass. Everything is made in a staging directory and becomes visible by a rename, so a crash, a
//! full disk or a hostile archive leaves nothing half-made.
//!
//! Start reading at [`Store`]; an image comes in by a [`Transaction`]. What protects the host from
//! an archive is in `unpack/tree.rs`.

mod archive;
mod build_cache;
mod change;
mod config;
pub mod containerfile;
mod decompress;
mod digest;
pub mod erofs;
mod error;
mod format;
mod layer;
mod reference;
pub mod registry;
pub mod served;
mod sniff;
mod store;
mod stream;
mod tar;
mod timestamp;
mod unpack;
mod user;

pub use archive::{ExportFormat, Exported, ImportFormat};
pub use build_cache::{BuildCache, CachedLayer, CachedStep};
pub use change::apply_change;
pub use config::{
    CONFIG_TYPE, Config, Descriptor, History, ImageConfig, LAYER_GZIP_TYPE, LAYER_TYPE,
    LAYER_ZSTD_TYPE, MANIFEST_TYPE, Manifest, RootFs,
};
pub use decompress::Plain;
pub use digest::{Digest, Hasher};
pub use error::{Error, Kind, Result};
pub use layer::{FormChoice, Layer, LayerForm, PlaceInfo, UnionView};
pub use reference::Reference;
pub use sniff::is_archive;
pub use store::{
    AddedLayer, Claim, Committed, DOCUMENT_BYTES_MAX, Damage, DamagedPart, Image, ImportOptions,
    Imported, LAYERS_MAX, MountedImage, PendingLayer, PruneScope, Pruned, Removed, Source, Store,
    StoreLock, Summary, Transaction, TransactionOptions, Usage, Verified, disk_bytes,
};
pub use tar::{TreeForm, WrittenTree, write_tree};
pub use timestamp::rfc3339;
pub use unpack::{Kept, Limits, Target, UnpackOptions, Unpacked, Whiteouts, unpack_archive};
pub use user::{ResolvedUser, read_database, read_user, resolve_user};
