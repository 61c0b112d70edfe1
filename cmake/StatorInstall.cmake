# The installed package: libraries, public headers, and find_package(stator), which defines stator::<layer>.

include(CMakePackageConfigHelpers)

get_property(targets GLOBAL PROPERTY STATOR_LAYER_TARGETS)
set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/stator")

if(targets)
    install(TARGETS ${targets} EXPORT stator ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(
        EXPORT stator
        FILE statorTargets.cmake
        NAMESPACE stator::
        DESTINATION ${package_folder}
    )
endif()
install(
    DIRECTORY "${PROJECT_SOURCE_DIR}/include/stator"
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING
    PATTERN "*.hpp"
)

# What the exported layers link, of other people's.
set(STATOR_EXPORTED_LIBRARIES "")
foreach(target IN LISTS targets)
    get_target_property(libraries ${target} INTERFACE_LINK_LIBRARIES)
    foreach(library IN LISTS libraries)
        if(library MATCHES "BUILD_INTERFACE")
            continue()
        endif()
        string(REGEX REPLACE "^\\$<LINK_ONLY:(.*)>$" "\\1" library "${library}")
        if(library MATCHES "::" AND NOT library MATCHES "^stator::")
            list(APPEND STATOR_EXPORTED_LIBRARIES "${library}")
        endif()
    endforeach()
endforeach()
list(REMOVE_DUPLICATES STATOR_EXPORTED_LIBRARIES)

configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/statorConfig.cmake.in"
    "${PROJECT_BINARY_DIR}/package/statorConfig.cmake"
    INSTALL_DESTINATION ${package_folder}
    NO_SET_AND_CHECK_MACRO
)
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/package/statorConfigVersion.cmake" COMPATIBILITY SameMinorVersion
)
install(
    FILES
        "${PROJECT_BINARY_DIR}/package/statorConfig.cmake"
        "${PROJECT_BINARY_DIR}/package/statorConfigVersion.cmake"
        "${PROJECT_SOURCE_DIR}/cmake/StatorDependencies.cmake"
        "${PROJECT_SOURCE_DIR}/cmake/CheckCoroutineCodegen.cmake"
    DESTINATION ${package_folder}
)
install(
    FILES "${PROJECT_SOURCE_DIR}/cmake/probes/coroutine_codegen.cpp"
    DESTINATION ${package_folder}/probes
)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR})
