# Builds the crate with cargo and puts the program where the other peers are. Run as a script with the
# variables cargo, profile, source, crate, target and program. No crates at hand (no network, nothing
# cached) is no reason to fail the build of the others: the peer is then absent, and the program of an
# earlier build is not left behind.
foreach(file Cargo.toml src/main.rs)
    configure_file("${source}/${file}" "${crate}/${file}" COPYONLY)
endforeach()
execute_process(
    COMMAND
        "${CMAKE_COMMAND}" -E env "CARGO_TARGET_DIR=${target}" "${cargo}" build --quiet -j1
        --profile "${profile}" --manifest-path "${crate}/Cargo.toml"
    RESULT_VARIABLE status
)
if(status EQUAL 0)
    execute_process(
        COMMAND
            "${CMAKE_COMMAND}" -E copy_if_different "${target}/${profile}/bench_peer_tokio"
            "${program}"
        COMMAND_ERROR_IS_FATAL ANY
    )
else()
    file(REMOVE "${program}")
    message(WARNING "benchmarks: cargo failed (${status}); the tokio peer is left out")
endif()
