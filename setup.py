from setuptools import setup

# cffi builds for the stable ABI, so that one wheel serves every later Python.
options = {"bdist_wheel": {"py_limited_api": "cp311"}}
setup(cffi_modules=["native/build_native.py:ffibuilder"], options=options)
