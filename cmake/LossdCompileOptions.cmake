# One INTERFACE target carries the language, the warnings and the sanitizers of
# every target of ours.
include(CheckCXXCompilerFlag)

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(LOSSD_SANITIZE "" CACHE STRING "Value of -fsanitize=, such as address,undefined")

add_library(lossd_options INTERFACE)
target_compile_features(lossd_options INTERFACE cxx_std_20)
target_include_directories(lossd_options INTERFACE ${CMAKE_SOURCE_DIR})
# Missing field initializers: a designated initializer leaves out what has a default.
target_compile_options(lossd_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Werror>
  # The bits are the contract: a product and a sum are fused only where the code says so.
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -fno-fast-math>)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(lossd_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wthread-safety>)
endif()
if(LOSSD_SANITIZE)
  # What undefined behaviour is found ends the program, as bad addresses do: else tests pass.
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
