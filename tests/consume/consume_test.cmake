# Installs if KIND is find_package, then configures, builds and runs the small project in SOURCE.

function(run)
    execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE "${WORK}")
if(KIND STREQUAL "find_package")
    run(${CMAKE_COMMAND} --install "${STATOR_BUILD}" --prefix "${WORK}/prefix")
    set(where "-DCMAKE_PREFIX_PATH=${WORK}/prefix")
else()
    set(where "-DSTATOR_FOLDER=${STATOR_SOURCE}")
endif()
run(
    ${CMAKE_COMMAND} -S "${SOURCE}" -B "${WORK}/build" -G Ninja "${where}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}"
    "-DCMAKE_BUILD_TYPE=${CONFIG}" "-DSTATOR_WERROR=${WERROR}"
)
run(${CMAKE_COMMAND} --build "${WORK}/build" --target consumer)
run("${WORK}/build/consumer")
