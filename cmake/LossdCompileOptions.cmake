# The INTERFACE target lossd_options carries the language, the warnings, the sanitizers and the
# hardening of all targets in this project.
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

# These flags leave less to somebody who finds a defect (D99). They change no result, and
# tests/e2e/test_hardening.py reads them out of the programs.
#
# Not taken: -D_GLIBCXX_ASSERTIONS, which checks each index of a std::vector, and
# _FORTIFY_SOURCE=3, which computes sizes at run time.
set(lossd_is_shared $<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>)
set(lossd_is_program $<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>)

function(lossd_harden flag)
  string(MAKE_C_IDENTIFIER "LOSSD_HAS_${flag}" has)
  check_cxx_compiler_flag(${flag} ${has})
  if(${has})
    target_compile_options(lossd_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${flag}>)
  endif()
endfunction()

# A canary before the return address of functions with arrays.
lossd_harden(-fstack-protector-strong)
# No frame steps over the guard page.
lossd_harden(-fstack-clash-protection)
# Indirect calls and returns go where the program says, on processors that check it.
lossd_harden(-fcf-protection)

# Programs lie at an address of the loader's choice; what the loader has filled in is read-only;
# no page is written and run.
target_compile_options(lossd_options INTERFACE
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:${lossd_is_shared}>>:-fPIE>)
target_link_options(lossd_options INTERFACE
  $<${lossd_is_program}:-pie> LINKER:-z,relro,-z,now,-z,noexecstack)

# The C library checks the sizes of buffers that the compiler knows. It needs an optimising
# compiler; the sanitizers do more.
if(NOT LOSSD_SANITIZE AND
   (CMAKE_BUILD_TYPE MATCHES "Rel" OR CMAKE_CXX_FLAGS MATCHES "-O[1-3s]"))
  target_compile_options(lossd_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
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
