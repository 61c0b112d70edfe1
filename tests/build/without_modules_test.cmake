# A tree without the optional modules configures where their libraries are not found, and each of its targets can be
# built: of nothing that is left out is anything needed. Nothing is compiled: no source depends on the options.

file(REMOVE_RECURSE "${BUILD}")
execute_process(
    COMMAND
        ${CMAKE_COMMAND} -S "${SOURCE}" -B "${BUILD}" -G Ninja "-DCMAKE_CXX_COMPILER=${COMPILER}" -DSTATOR_ETCD=OFF
        -DSTATOR_NATS=OFF -DSTATOR_ZMQ=OFF -DSTATOR_ZMQ_INCLUDE=STATOR_ZMQ_INCLUDE-NOTFOUND
        -DCMAKE_DISABLE_FIND_PACKAGE_gRPC=ON
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output
)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "it does not configure:\n${output}")
endif()

execute_process(
    COMMAND ${CMAKE_COMMAND} --build "${BUILD}" -- -t commands all
    RESULT_VARIABLE result
    OUTPUT_VARIABLE steps
    ERROR_VARIABLE steps
)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "something is needed that is not there:\n${steps}")
endif()
if(NOT steps MATCHES "zmq_plane.cpp" OR NOT steps MATCHES "-o bin/stator")
    message(FATAL_ERROR "this builds no stator:\n${steps}")
endif()
foreach(left_out IN ITEMS "stator_zmq.so" "stator_nats.so" "stator_etcd.so" "zmq/module.cpp")
    if(steps MATCHES "${left_out}")
        message(FATAL_ERROR "${left_out} is built")
    endif()
endforeach()
file(REMOVE_RECURSE "${BUILD}")
