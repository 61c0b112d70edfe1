stator_fuzzer(fuzz_dynamo_request
    SOURCES fuzz_dynamo_request.cpp
    LIBS stator::transport
    CORPUS corpus/dynamo_request
)
stator_fuzzer(fuzz_dynamo_stream
    SOURCES fuzz_dynamo_stream.cpp
    LIBS stator::transport
    CORPUS corpus/dynamo_stream
)
stator_fuzzer(fuzz_dynamo_server
    SOURCES fuzz_dynamo_server.cpp
    LIBS stator::transport
    CORPUS corpus/dynamo_server
)
stator_fuzzer(fuzz_dynamo_caller
    SOURCES fuzz_dynamo_caller.cpp
    LIBS stator::transport
    CORPUS corpus/dynamo_caller
)
