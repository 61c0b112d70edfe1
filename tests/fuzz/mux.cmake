stator_fuzzer(fuzz_mux_frames
    SOURCES fuzz_mux_frames.cpp
    LIBS stator::transport
    CORPUS corpus/mux_frames
)
stator_fuzzer(fuzz_mux_session
    SOURCES fuzz_mux_session.cpp
    LIBS stator::transport
    CORPUS corpus/mux_session
)
