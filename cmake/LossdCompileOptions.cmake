# The INTERFACE target lossd_options carries the language, the warnings and the sanitizers
# of all targets in this project.
include(CheckCXXCompilerFlag)

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(LOSSD_SANITIZE "" CACHE STRING "Value of -fsanitize=, such as address,undefined")

add_library(lossd_options INTERFACE)
target_compile_features(lossd_options INTERFACE cxx_std_20)
target_include_directories(lossd_options INTERFACE ${CMAKE_SOURCE_DIR})
# Designated initializers may leave out fields that have defaults, so that is no warning.
target_compile_options(lossd_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Werror>
  # Results must have the same bits everywhere, so the compiler must not fuse a product
  # and a sum.
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -fno-fast-math>)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(lossd_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wthread-safety>)
endif()
if(LOSSD_SANITIZE)
  # Undefined behaviour ends the program, because a test would pass after a mere report.
  target_compile_options(lossd_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${LOSSD_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer>)
  target_link_options(lossd_options INTERFACE -fsanitize=${LOSSD_SANITIZE})
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(LLD ld.lld)
if(LLD AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_link_options(-fuse-ld=lld)
endif()
