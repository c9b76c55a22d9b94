//! Unpacks an image: `unpack IMAGE CACHE` prints its layers' directories and what it runs.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;

use crabcan_image::{Cache, Image, Owners, user};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let (Some(image), Some(cache)) = (words.next(), words.next()) else {
        return Err("unpack IMAGE CACHE".into());
    };
    let image = Image::open(image)?;
    let lowers = Cache::open(cache, Owners::OfTheCaller)?.unpack(&image, &mut |_| {})?;
    for lower in &lowers {
        println!("{}", lower.display());
    }
    let user = user(&lowers, image.config().user())?;
    println!(
        "{:?} as {}:{}",
        image.config().command(),
        user.uid,
        user.gid
    );
    Ok(())
}
