//! Any bytes as an EROFS image: an error, or a tree that can be walked to its end and read.

#![no_main]

use insula_image::erofs::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut image = bytes.to_vec();
    // Says that the superblock has no checksum, or hardly any input would get behind it.
    if let Some(features) = image.get_mut(1024 + 8) {
        *features &= !1;
    }
    let Ok(reader) = Reader::open(&image[..]) else {
        return;
    };
    let mut buffer = [0; 8192];
    for entry in reader.walk().take(10_000) {
        let Ok(entry) = entry else {
            break;
        };
        let inode = &entry.inode;
        let _attributes = reader.xattrs(inode);
        let _target = reader.read_link(inode);
        for offset in [0, inode.size / 2, inode.size.saturating_sub(1)] {
            if let Ok(count) = reader.read(inode, offset, &mut buffer) {
                assert!(count <= buffer.len());
            }
        }
        let _found = reader.lookup(&entry.path);
    }
    let _place = reader.locate(0..image.len() as u64);
});
