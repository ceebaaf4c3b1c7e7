//! What a Rust program costs that parses its arguments with clap and runs on tokio.

use clap::Parser;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value = "hello")]
    say: String,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { println!("{}", args.say) });
}
