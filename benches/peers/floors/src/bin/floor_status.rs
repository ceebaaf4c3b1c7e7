//! The floor of a status: connects to DIR/gateway.sock, pings, asks for the status, prints it as JSON.

fn main() -> std::io::Result<()> {
    let dir = std::env::args_os().nth(1).expect("usage: floor_status DIR");
    let status = floors::status(&std::path::Path::new(&dir).join("gateway.sock"))?;
    println!(
        "{{\"pid\":{},\"phase\":{},\"generation\":{},\"uptime_s\":{}}}",
        status.pid,
        status.phase,
        status.generation,
        status.uptime_us as f64 / 1e6
    );
    Ok(())
}
