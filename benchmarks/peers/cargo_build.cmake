# Builds a crate with cargo and puts its program where the other peers are. Run as a script with the
# variables cargo, profile, flags (of rustc), source, crate, target, binary and program. No crates at
# hand (no network, nothing cached) is no reason to fail the build of the others: the peer is then
# absent, and the program of an earlier build is not left behind.
file(GLOB files RELATIVE "${source}" "${source}/Cargo.toml" "${source}/src/*.rs")
foreach(file ${files})
    configure_file("${source}/${file}" "${crate}/${file}" COPYONLY)
endforeach()
set(environment "CARGO_TARGET_DIR=${target}")
if(flags)
    list(APPEND environment "RUSTFLAGS=${flags}")
endif()
execute_process(
    COMMAND
        "${CMAKE_COMMAND}" -E env ${environment} "${cargo}" build --quiet -j${jobs} --profile
        "${profile}" --manifest-path "${crate}/Cargo.toml"
    RESULT_VARIABLE status
)
if(status EQUAL 0)
    execute_process(
        COMMAND
            "${CMAKE_COMMAND}" -E copy_if_different "${target}/${profile}/${binary}" "${program}"
        COMMAND_ERROR_IS_FATAL ANY
    )
else()
    file(REMOVE "${program}")
    message(WARNING "benchmarks: cargo failed (${status}); ${binary} is left out")
endif()
